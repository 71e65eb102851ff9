"""From tables as they are to values: commands, seconds, and an independent loop beside them.

`python benchmarks/own_data.py [--only NAME]` works on six sets in a temporary folder, by the
command line alone. With at most six providers every coalition is retrained, and the values are held
against Shapley's formula over models that a plain torch loop trains one by one; beside that stands
what the loop itself differs by in float64, and with its rows in other orders.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from torch.nn.functional import cross_entropy, linear

from unshapley.config import load_params
from unshapley.data.tables import Schema, read_table, to_arrays
from unshapley.project import Project

DATA = Path(
    os.environ.get("UNSHAPLEY_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
)
WEIGHTS = ("hidden.0.weight", "hidden.0.bias", "head.weight", "head.bias")
MESSY = (
    "--set", 'prepare.read={missing: ["?"]}', "--set", "prepare.label_above=0",
    "--set", "prepare.incomplete=impute",
)  # fmt: skip
ORDERS = 4
"""Orders of the rows in which the loop is run again: its sums are rounded otherwise, no more."""
Words = list[str]


def heart(folder: Path) -> Words:
    """Four hospitals' files, gaps as `?` and empty, a label from 0 to 4."""
    shutil.copytree(DATA / "heart_disease", folder / "raw", ignore=shutil.ignore_patterns("*.txt"))
    return ["--data", str(folder / "raw"), "--label", "target", *MESSY]


def breast(folder: Path) -> Words:
    """One CSV with a column of hospitals."""
    frame = load_breast_cancer(as_frame=True).frame
    frame["hospital"] = np.random.default_rng(0).choice(
        ["north", "south", "east", "west"], len(frame)
    )
    frame.to_csv(folder / "all.csv", index=False)
    return ["--data", str(folder / "all.csv"), "--provider", "hospital", "--label", "target"]


def diabetes(folder: Path) -> Words:
    """A number to predict, semicolons and decimal commas."""
    frame = load_diabetes(as_frame=True).frame
    frame["clinic"] = np.random.default_rng(0).choice(["a", "b", "c", "d", "e"], len(frame))
    frame.to_csv(folder / "all.csv", index=False, sep=";", decimal=",")
    return ["--data", str(folder / "all.csv"), "--provider", "clinic", "--label", "target"]


def pictures(folder: Path) -> Words:
    """PNG files in folders of providers and classes."""
    digits, rng = load_digits(), np.random.default_rng(0)
    for number, (image, target) in enumerate(zip(digits.images, digits.target, strict=True)):
        place = folder / "png" / f"scanner-{rng.integers(5)}" / str(target)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype(np.uint8)).save(place / f"{number}.png")
    words = ["--set", "prepare.pictures.side=8"]
    return ["--data", str(folder / "png"), "--label", "digit", *words]


def text(folder: Path) -> Words:
    """Sentences about weather, of five writers; the last mixes its labels up."""
    rng, rows = np.random.default_rng(0), []
    words = {"fine": "sun warm dry bright clear", "bad": "rain cold wet grey storm"}
    for _ in range(600):
        kind, writer = rng.choice(list(words)), f"writer-{rng.integers(5)}"
        own, all_words = words[kind].split(), " ".join(words.values()).split()
        note = " ".join([*rng.choice(own, 3), *rng.choice(all_words, 5)])
        said = rng.choice(list(words)) if writer == "writer-4" else kind
        rows.append({"writer": writer, "note": note, "weather": said})
    pd.DataFrame(rows).to_csv(folder / "notes.csv", index=False)
    words = ["--provider", "writer", "--label", "weather", "--set", "prepare.text_features=64"]
    return ["--data", str(folder / "notes.csv"), *words]


def postgres(folder: Path) -> Words:
    """A table of a PostgreSQL database."""
    from sqlalchemy import create_engine

    url = os.environ.get("UNSHAPLEY_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1/test")
    frame = load_breast_cancer(as_frame=True).frame.rename(columns=lambda n: n.replace(" ", "_"))
    frame["ward"] = np.random.default_rng(1).choice(["a", "b", "c", "d"], len(frame))
    frame.to_sql("unshapley_own_data", create_engine(url), index=False, if_exists="replace")
    words = ["--provider", "ward", "--label", "target"]
    return ["--sql", url, "--query", "select * from unshapley_own_data", *words]


SETS: Mapping[str, Callable[[Path], Words]] = {
    made.__name__: made for made in (heart, breast, diabetes, pictures, text, postgres)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=SETS, action="append")
    chosen = parser.parse_args().only or list(SETS)
    print(
        "| set | providers | rows | commands | seconds | difference | the loop's in float64 | in "
        f"{ORDERS} other orders |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in chosen:
        with tempfile.TemporaryDirectory() as folder:
            print(_row(name, Path(folder)), flush=True)


def _row(name: str, folder: Path) -> str:
    words, project = SETS[name](folder), folder / "project"
    begin = time.perf_counter()
    _unshapley("init", str(project), *words, "--yes")
    _unshapley("run", "--project", str(project), "--quiet")
    seconds = time.perf_counter() - begin
    found = pd.read_csv(project / "data/valuation/values.csv").set_index("provider")["value"]
    loop, double = (
        independent(Project(project), dtype) for dtype in (torch.float32, torch.float64)
    )
    others = [independent(Project(project), torch.float32, order) for order in range(ORDERS)]
    scale = max(map(abs, loop.values()))
    ours, in_double, *reordered = (
        max(abs(values[name] - loop[name]) for name in loop) / scale
        for values in (found, double, *others)
    )
    gaps = f"{ours:.1e} | {in_double:.1e} | {min(reordered):.1e} … {max(reordered):.1e}"
    rows = sum(len(read_table(path)) for path in (project / "data/partitions").iterdir())
    return f"| {name} | {len(found)} | {rows} | 2 | {seconds:.0f} | {gaps} |"


def _unshapley(*words: str) -> None:
    command = [str(Path(sys.executable).with_name("unshapley")), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)}\n{done.stderr}")


def independent(project: Project, dtype: torch.dtype, order: int | None = None) -> dict[str, float]:
    """Shapley values by the formula, each coalition trained by a plain loop from the recorded
    initialisation.

    order: seed of the order in which rows are taken; none, as they stand.
    """
    torch.set_num_threads(1)
    schema, recipe = Schema.load(project.schema), load_params(project.params).pretrain
    stored = load_file(project.model / "initialisation.safetensors")
    initial = {name: tensor.to(dtype) for name, tensor in stored.items()}

    def rows(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = to_arrays(read_table(path), schema, path)
        labels = torch.from_numpy(y)
        scaled = (torch.from_numpy(x).to(dtype) - initial["mean"]) / initial["scale"]
        return scaled, labels.to(dtype) if labels.is_floating_point() else labels

    parts = {name: rows(project.partition(name)) for name in project.providers()}
    test = rows(project.test)

    def utility(names: Sequence[str]) -> float:
        theta = [initial[name].clone().requires_grad_() for name in WEIGHTS]
        if names:
            x, y = (torch.cat(tensors) for tensors in zip(*(parts[n] for n in names), strict=True))
            if order is not None:
                chosen = torch.from_numpy(np.random.default_rng(order).permutation(len(y)))
                x, y = x[chosen], y[chosen]
            optimizer = torch.optim.Adam(
                theta, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
            )
            for _ in range(recipe.steps):
                optimizer.zero_grad()
                _loss(theta, x, y, schema.task).backward()
                optimizer.step()
        with torch.no_grad():
            unit = schema.label_scale**2 if schema.task == "regression" else 1.0
            loss = _loss(theta, *test, schema.task)
            return -unit * float(loss) * (2 if schema.task == "regression" else 1)

    names = tuple(parts)
    table = {
        chosen: utility(chosen)
        for size in range(len(names) + 1)
        for chosen in itertools.combinations(names, size)
    }
    return {name: _shapley(name, names, table) for name in names}


def _loss(theta: list[torch.Tensor], x: torch.Tensor, y: torch.Tensor, task: str) -> torch.Tensor:
    w1, b1, w2, b2 = theta
    outputs = linear(torch.tanh(linear(x, w1, b1)), w2, b2)
    if task == "regression":
        return (outputs.squeeze(-1) - y).square().mean() / 2
    return cross_entropy(outputs, y)


def _shapley(name: str, names: tuple[str, ...], table: Mapping[tuple[str, ...], float]) -> float:
    n, value = len(names), 0.0
    for chosen, utility in table.items():
        if name in chosen:
            continue
        s = len(chosen)
        weight = math.factorial(s) * math.factorial(n - s - 1) / math.factorial(n)
        value += weight * (table[tuple(p for p in names if p in (*chosen, name))] - utility)
    return value


if __name__ == "__main__":
    main()
