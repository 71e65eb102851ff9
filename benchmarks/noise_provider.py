"""Where a provider of random labels ends up: planted, real, judged by trusted rows, and by its own.

`python benchmarks/noise_provider.py [--seeds N]`, by the command line, in a temporary folder: five
providers of one task with 150 rows each, of whom `noisy` has random labels.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

TRUSTED = ["a", "b", "c", "e"]
NAMES = [*TRUSTED, "noisy"]
WAYS = {
    "planted, trusted providers judge": ["--set", "prepare.test_from=[a, b, c, e]"],
    "planted, everybody judges": [],
    "real, trusted providers judge": ["--set", "prepare.test_from=[a, b, c, e]"],
    "real, a test set of one's own": ["--test", "trusted.csv"],
    "real, everybody judges": [],
}


def rows(seed: int, count: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 6))
    y = x[:, 0] - x[:, 1] + 0.5 * x[:, 2] * x[:, 3] + 0.5 * rng.normal(size=count) > 0
    return pd.DataFrame(x, columns=list("uvwxyz")).assign(label=np.where(y, "yes", "no"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    print(
        "| noise | place of five, by seed | value, by seed | warned of | named in the conclusion |"
    )
    print("| --- | --- | --- | --- | --- |")
    for way, words in WAYS.items():
        done = [_valued(way, words, seed) for seed in range(seeds)]
        cells = [
            ", ".join(str(entry["rank"]) for entry in done),
            ", ".join(f"{entry['value']:.3f} ± {entry['std_error']:.3f}" for entry in done),
            ", ".join("yes" if entry["warned"] else "no" for entry in done),
            ", ".join("yes" if entry["named"] else "no" for entry in done),
        ]
        print(f"| {way} | {' | '.join(cells)} |", flush=True)


def _valued(way: str, words: list[str], seed: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        tables = {name: rows(10 * seed + i, 150) for i, name in enumerate(NAMES)}
        if way.startswith("real"):
            shuffled = np.random.default_rng(seed).permutation(tables["noisy"]["label"])
            tables["noisy"] = tables["noisy"].assign(label=shuffled)
        (root / "raw").mkdir()
        for name, table in tables.items():
            table.to_csv(root / "raw" / f"{name}.csv", index=False)
        rows(900 + seed, 200).to_csv(root / "trusted.csv", index=False)
        words = [str(root / word) if word.endswith(".csv") else word for word in words]
        if way.startswith("planted"):  # half of the labels of two classes wrong: random
            words += ["--set", "faults.wrong_labels={noisy: 0.5}"]
        project = str(root / "project")
        _unshapley(
            "init", project, "--data", str(root / "raw"), "--label", "label", *words, "--yes"
        )
        log = _unshapley("run", "--project", project, "--quiet")
        report = json.loads(_unshapley("report", "--project", project, "--json", output=True))
        entry = next(row for row in report["values"] if row["provider"] == "noisy")
        sentences = " ".join(report["conclusion"])
        named = "noisy makes the model worse" in sentences
        return {**entry, "rank": int(entry["rank"]), "warned": "own noise" in log, "named": named}


def _unshapley(*words: str, output: bool = False) -> str:
    command = [str(Path(sys.executable).with_name("unshapley")), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)}\n{done.stderr}")
    return done.stdout if output else done.stderr


if __name__ == "__main__":
    main()
