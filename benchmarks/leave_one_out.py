"""Leave-one-out by unlearning against leave-one-out by real retraining, on a prepared project.

Prints a table and is no test: `python benchmarks/leave_one_out.py [--project DIR]`. Like is
compared with like: U(all but i) after unlearning i and after retraining without i.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np

from unshapley.fidelity.gate import leave_one_out, spearman
from unshapley.game.coalitions import Coalitions
from unshapley.game.loading import LoadedGame, load_game
from unshapley.game.measuring import measure
from unshapley.game.utilities import build_utilities
from unshapley.models.store import ModelRecord
from unshapley.project import Project
from unshapley.unlearning import build_unlearner


def stratified(n: int, count: int, seed: int) -> Coalitions:
    """`count` distinct random coalitions `(count, n)`; their sizes are spread over 1 … n − 1."""
    count = min(count, 2**n - 2)
    rng = np.random.default_rng(seed)
    chosen: dict[bytes, np.ndarray] = {}
    sizes = np.linspace(1, n - 1, count).round().astype(int)
    while len(chosen) < count:
        # sometimes a random size, as all coalitions of the planned size may be chosen already
        size = sizes[len(chosen)] if rng.random() < 0.9 else rng.integers(1, n)
        row = np.zeros(n, dtype=bool)
        row[rng.choice(n, size=size, replace=False)] = True
        chosen.setdefault(row.tobytes(), row)
    return np.array(list(chosen.values()), dtype=bool).reshape(-1, n)


def rows(inputs: LoadedGame, names: list[str], utility: str) -> list[dict[str, object]]:
    """One row an unlearner: rank and error of leave-one-out and of coalitions of all sizes."""
    n = len(inputs.players)
    coalitions = np.vstack([leave_one_out(n), stratified(n, 24, seed=1)])
    found, spent = {}, {}
    for name in ["retrain", *names]:
        begin = time.process_time()
        unlearner = build_unlearner(name).fitted(inputs.pretrained, inputs.staying(coalitions))
        found[name] = np.array(
            measure(inputs, unlearner, coalitions, build_utilities([utility]))[utility]
        )
        spent[name] = time.process_time() - begin
    truth = found["retrain"]
    return [
        {
            "utility": utility,
            "unlearner": name,
            "loo_spearman": spearman(truth[:n].tolist(), found[name][:n].tolist()),
            "rmse": float(np.sqrt(((found[name] - truth)[n:] ** 2).mean())),
            "cpu_ms_per_coalition": 1000 * spent[name] / len(coalitions),
            "cost_share": spent[name] / spent["retrain"],
        }
        for name in ["retrain", *names]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=Path(), help="prepared and pretrained")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    project = Project(arguments.project)
    players = tuple(sorted(ModelRecord.load(project.model).partitions))
    inputs = load_game(project, players, needs="curvature")
    names = ["hybrid", "shrink_finetune", "finetune", "newton", "no_unlearning"]
    table = [row for u in ("neg_log_loss", "accuracy") for row in rows(inputs, names, u)]
    print(f"{len(players)} providers, {platform.machine()}, {os.cpu_count()} cores, 1 thread used")
    print(f"{'utility':14}{'unlearner':18}{'LOO Spearman':>13}{'RMSE':>9}{'CPU ms':>9}{'cost':>8}")
    for row in table:
        rank = "–" if row["loo_spearman"] is None else f"{row['loo_spearman']:.3f}"
        print(
            f"{row['utility']:14}{row['unlearner']:18}{rank:>13}{row['rmse']:9.4f}"
            f"{row['cpu_ms_per_coalition']:9.1f}{row['cost_share']:8.1%}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
