"""Really retrained utilities, kept in .benchmarks/ so that a benchmark can be resumed.

`python benchmarks/truth.py [--only NAME]... [--seeds N] [--workers N]` computes them ahead.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import DATASETS, Dataset
from numpy.typing import NDArray

from unshapley.config import PretrainSettings
from unshapley.estimators import Plan, make_plan
from unshapley.files import digest, written_whole
from unshapley.game.coalitions import Coalitions, chunks, to_bits
from unshapley.game.game import Game
from unshapley.game.measuring import measure
from unshapley.game.utilities import build_utilities
from unshapley.unlearning.retrain import RetrainUnlearner

CACHE = Path(__file__).resolve().parents[1] / ".benchmarks"
CHUNK = 64
FIRST_KEYS = ("architecture", "kwargs", "steps", "learning_rate", "weight_decay", "seed", "rewind")

Floats = NDArray[np.float64]


def plan_of(dataset: Dataset) -> Plan:
    """The coalitions of the full game: all of them where the budget covers them."""
    return make_plan("permutations", len(dataset.providers), dataset.budget, seed=0)


def partial_coalitions(dataset: Dataset) -> list[Coalitions]:
    """For each pair of targets: none, first, second stays, all others do `(3, providers)`."""
    found = []
    for a, b in dataset.pairs:
        staying = np.ones((3, len(dataset.providers)), dtype=bool)
        staying[0, [a, b]] = staying[1, b] = staying[2, a] = False
        found.append(staying)
    return found


def retrained(dataset: Dataset, game: Game, staying: Coalitions) -> Floats:
    """Utilities `(m,)` of models retrained on `staying` `(m, providers)`, from the cache where they
    are in it. Coalitions are trained in batches as they stand.
    """
    parts = chunks(staying, CHUNK)
    paths = [_path(dataset, game, part) for part in parts]
    for path, part in zip(paths, parts, strict=True):
        if not path.exists():
            utilities = measure(game, RetrainUnlearner(), part, build_utilities([dataset.utility]))[
                dataset.utility
            ]
            with written_whole(path) as beside, beside.open("wb") as file:
                np.savez(file, coalitions=part, utilities=utilities)
    return np.concatenate([np.load(path)["utilities"] for path in paths])


def _path(dataset: Dataset, game: Game, part: Coalitions) -> Path:
    recipe = named(game.pretrained.recipe)
    said = [dataset.key(), recipe, dataset.utility, to_bits(part), torch.__version__]
    return CACHE / f"{dataset.name}-{recipe['seed']}-{digest(said)[:16]}.npz"


def named(recipe: PretrainSettings) -> dict[str, Any]:
    """The recipe, without the newer keys that it leaves at their defaults: what was stored before
    there were such keys keeps its name.
    """
    stated, changed = (
        recipe.model_dump(mode="json", exclude_defaults=without) for without in (False, True)
    )
    return {key: stated[key] for key in stated if key in FIRST_KEYS or key in changed}


def compute(name: str, seed: int) -> str:
    """Fill the cache for one data set and seed; says what it cost."""
    dataset = DATASETS[name]()
    game = dataset.game(seed, statistics=False)
    begin = time.process_time()
    for staying in [*partial_coalitions(dataset), plan_of(dataset).coalitions]:
        retrained(dataset, game, staying)
    return f"{name}, seed {seed}: {time.process_time() - begin:.0f} CPU seconds"


def available(names: Sequence[str]) -> Iterator[str]:
    """Those data sets whose files are there; the others are said to be left out."""
    for name in names:
        try:
            DATASETS[name]()
        except FileNotFoundError as error:
            print(f"{name} is left out: {error.filename} is missing")
        else:
            yield name


def fill(names: Sequence[str], seeds: int, workers: int) -> None:
    """Fill the cache for all data sets and seeds, a process each, `workers` at a time."""
    calls = [(name, seed) for name in names for seed in range(seeds)]
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=1) as pool:
        for said in pool.map(compute, *zip(*calls, strict=True)):
            print(said, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=DATASETS, help="may be repeated")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    fill([*available(arguments.only or list(DATASETS))], arguments.seeds, arguments.workers)


if __name__ == "__main__":
    main()
