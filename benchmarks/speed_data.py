"""What speed.py measures on: scikit-learn's digits among uneven providers, and exact values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from tests.unshapley.games import to_masks
from unshapley.config import CurvatureSettings, PretrainSettings
from unshapley.curvature.statistics import with_statistics
from unshapley.environment import SOURCES
from unshapley.estimators import Plan, estimate
from unshapley.fidelity.gate import spearman
from unshapley.files import digest
from unshapley.game.coalitions import Coalitions, chunks
from unshapley.game.game import Game
from unshapley.game.measuring import Utilities, measure, measure_endpoints
from unshapley.game.utilities import build_utilities
from unshapley.models.fitting import fit
from unshapley.models.rows import Rows
from unshapley.unlearning import NoUnlearning, Unlearner
from unshapley.unlearning.retrain import RetrainUnlearner

SEED = 123
CHUNK = 64
UTILITIES = ("accuracy", "neg_log_loss")
RECIPE = PretrainSettings(
    architecture="unshapley.models:mlp",
    kwargs={"hidden": [32]},
    steps=300,
    learning_rate=0.01,
    weight_decay=0.01,
    seed=0,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Split:
    """Training rows of every provider, the reference set and the test set."""

    partitions: Mapping[str, Rows]
    reference: Rows
    test: Rows

    @property
    def rows(self) -> int:
        return sum(len(y) for _, y in self.partitions.values())


def split_digits(n: int, rows: int | None = None) -> Split:
    """Digits: 360 test rows, 180 of reference, 1,257 to train on, the largest of `n` providers with
    three times the rows of the smallest; two of them with wrong labels, one with noise.

    rows: so many training rows instead, drawn from those with a little noise.
    """
    digits = load_digits()
    rng = np.random.default_rng(SEED)
    order = rng.permutation(len(digits.target))
    x, y = digits.data[order].astype(np.float32), digits.target[order]
    test, reference = (x[:360], y[:360]), (x[360:540], y[360:540])
    x, y = x[540:], y[540:]
    if rows is not None:
        drawn = rng.integers(len(y), size=rows)
        x = x[drawn] + rng.standard_normal((rows, x.shape[1]), dtype=np.float32)
        y = y[drawn]
    shares = np.linspace(2, 6, n).cumsum() / np.linspace(2, 6, n).sum()
    parts = np.split(np.arange(len(y)), np.round(shares[:-1] * len(y)).astype(int))
    for where, wrong in ((int(0.7 * n), 0.6), (int(0.4 * n), 0.3)):
        hit = rng.choice(parts[where], int(wrong * len(parts[where])), replace=False)
        y[hit] = (y[hit] + rng.integers(1, 10, len(hit))) % 10
    noisy = parts[int(0.6 * n)]
    x[noisy] += (4 * rng.standard_normal((len(noisy), x.shape[1])) * x.std(axis=0)).astype("f4")
    return Split(
        {f"p{i:02d}": _tensors(x[part], y[part]) for i, part in enumerate(parts)},
        _tensors(*reference),
        _tensors(*test),
    )


def make_game(split: Split, recipe: PretrainSettings = RECIPE) -> Game:
    """The game of all providers, pretrained, without curvature statistics."""
    pretrained = fit(recipe, split.partitions, split.reference, outputs=10)
    names = tuple(split.partitions)
    return Game(names, names, replace(pretrained, test=split.test), *split.test)


def add_statistics(game: Game, split: Split, directions: int = 200) -> Game:
    """`game` with the curvature statistics of its providers."""
    found = with_statistics(
        game.pretrained, split.partitions, CurvatureSettings(directions=directions)
    )
    return replace(game, pretrained=found)


def measure_all(
    game: Game, unlearner: Unlearner, parts: Sequence[Coalitions], threads: int
) -> Utilities:
    """Utilities of all chunks in order; each chunk runs on one thread, so many at a time."""

    def one(part: Coalitions) -> Utilities:
        return measure(game, unlearner, part, build_utilities(UTILITIES))

    if threads == 1:
        found = [one(part) for part in parts]
    else:
        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(one, parts))
    return {name: [u for utilities in found for u in utilities[name]] for name in UTILITIES}


def values_of(game: Game, plan: Plan, utilities: Utilities, name: str) -> Floats:
    """Exact Shapley values from the utilities of all coalitions of a plan `(n,)`."""
    none, everybody = measure_endpoints(game, NoUnlearning(), build_utilities([name])).utilities[
        name
    ]
    table = np.array([none, *utilities[name], everybody])
    return estimate(plan, table).value


def retrained(game: Game, plan: Plan, cache: Path, threads: int = 2) -> tuple[Utilities, bool]:
    """Utilities of a plan by really retraining every coalition, and whether they were stored.

    Stored in `cache` under a hash of the library's sources, the game, the recipe and torch.
    """
    pretrained = game.pretrained
    rows = pretrained.rows
    read = hashlib.sha256()
    for tensor in (rows.x, rows.y, rows.owner, game.test_x, game.test_y):
        read.update(tensor.numpy().tobytes())
    told = [SOURCES, torch.__version__, read.hexdigest(), to_masks(plan.coalitions)]
    key = digest([*told, pretrained.recipe.model_dump(mode="json")])
    path = cache / f"exact-{key[:16]}.npz"
    if path.exists():
        with np.load(path) as stored:
            return {name: stored[name].tolist() for name in UTILITIES}, True
    found = measure_all(game, RetrainUnlearner(), chunks(plan.coalitions, CHUNK), threads)
    cache.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{name: np.array(found[name]) for name in UTILITIES})
    return found, False


def errors(found: Floats, truth: Floats) -> tuple[float, float | None]:
    """Mean absolute error and rank correlation of values."""
    return float(np.abs(found - truth).mean()), spearman(found.tolist(), truth.tolist())


def _tensors(x: NDArray[np.float32], y: NDArray[np.int64]) -> Rows:
    return torch.from_numpy(x.copy()), torch.from_numpy(y.copy())
