"""All 2ⁿ utilities of three games, stored in tests/games/: `python benchmarks/games.py [--only G]`.

A table that is there is left as it is; delete it to measure it again. Retraining forms12 takes
a quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from datasets import Dataset, digits_forms, digits_uneven
from stored import FOLDER, GAMES, UNLEARNERS, UTILITIES, path_of

from unshapley.estimators.sampling import everything
from unshapley.game.coalitions import chunks, to_bits
from unshapley.game.measuring import measure, measure_endpoints
from unshapley.game.utilities import build_utilities
from unshapley.unlearning import build_unlearner

CHUNK = 64


def only(dataset: Dataset, names: list[str]) -> Dataset:
    """The data set with these providers alone."""
    return replace(dataset, partitions={p: dataset.partitions[p] for p in names})


def uneven(first: int) -> Dataset:
    dataset = digits_uneven()
    return only(dataset, sorted(dataset.partitions)[first:])


def forms(count: int) -> Dataset:
    dataset = digits_forms()
    return only(dataset, sorted(dataset.partitions)[:count])


DATASETS: dict[str, Callable[[], Dataset]] = {
    "uneven8": lambda: uneven(2),
    "uneven10": digits_uneven,
    "forms12": lambda: forms(12),
}


def measured(dataset: Dataset, unlearner: str) -> pd.DataFrame:
    """Utilities of nobody, everybody and all coalitions between, by size."""
    game, n = dataset.game(0), len(dataset.partitions)
    coalitions = everything(n)
    coalitions = coalitions[np.argsort(coalitions.sum(axis=1), kind="stable")]
    fitted = build_unlearner(unlearner, {}).fitted(game.pretrained, game.staying(coalitions))
    found = {
        u: list(ends)
        for u, ends in measure_endpoints(game, fitted, build_utilities(UTILITIES)).utilities.items()
    }
    for part in chunks(coalitions, CHUNK):
        for name, utilities in measure(game, fitted, part, build_utilities(UTILITIES)).items():
            found[name] += utilities
    return pd.DataFrame({"coalition": ["0" * n, "1" * n, *to_bits(coalitions)], **found})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=GAMES, help="may be repeated")
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    for game in parser.parse_args().only or GAMES:
        for unlearner in UNLEARNERS:
            path, begin = path_of(game, unlearner), time.perf_counter()
            if path.exists():
                print(f"{path.name} is there")
                continue
            measured(DATASETS[game](), unlearner).to_parquet(path, index=False)
            print(f"{path.name}: {time.perf_counter() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
