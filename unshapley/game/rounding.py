"""How far rounding moves utilities: the same game in float32 and in float64.

Other processors, vector widths, numbers of threads and chunk sizes add up float32 numbers in other
orders. How much that can do to a game is seen without any of them: by what float64 changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
from torch import Tensor, nn

from unshapley.data.tables import TEXT
from unshapley.game.coalitions import Coalitions, chunks
from unshapley.game.game import Game
from unshapley.game.loading import LoadedGame
from unshapley.game.measuring import Measured, Utilities, measure
from unshapley.game.test_sources import rows_of
from unshapley.models.choices import questions_of
from unshapley.models.tokens import tokens_of
from unshapley.unlearning import Unlearner

FACTOR = 10.0
"""Tolerance over the largest change that float64 makes to a few coalitions. Vector widths, kernels
of MKL, chunk sizes and threads changed at most as much as float64, over 300 coalitions
(benchmarks/tolerance.py); the largest of a few is smaller."""
FLOOR = 2e-6
"""Least tolerance, relative to the size of the utilities: seen were 1e-6."""
UNKNOWN = 1e-5
"""The same where a model cannot be run in float64."""
ROWS = 2
"""Test rows of a model that may change sides, for a utility that counts them."""
FLIPS = 0.05
"""Largest share of the coalitions of which rows may change sides. Seen: none of 300."""
LOSSES = (
    "neg_log_loss",
    "neg_brier",
    "neg_mse",
    "neg_mae",
    "r2",
    "log_likelihood",
    "neg_bits_per_byte",
    "choice_log_likelihood",
)
"""Utilities that change little with a model's outputs; all others count rows, or may."""
OF_ALL_ROWS = ("accuracy", "auroc")
"""Those of the others in which a row counts as any other; in the rest it may count in its class."""

DERIVED = 1e-7
"""Relative tolerance of what is derived from equal utilities in float64: a kernel is fitted by
steps, and other linear algebra takes slightly other ones. Seen: 1e-8 (benchmarks/tolerance.py)."""
FEW, FEW_RETRAINED = 8, 2
"""Coalitions that are measured in float64: unlearned ones, and retrained ones, which cost more."""

T = TypeVar("T", bound=Game)


def in_double(game: T) -> T:
    """The game with every floating-point tensor in float64."""
    parts = ("pretrained", "test_x", "test_y")
    return replace(game, **{name: _double(getattr(game, name)) for name in parts})


def tolerances(
    game: LoadedGame,
    unlearner: Unlearner,
    measured: Measured,
    scale: Mapping[str, float],
    size: int,
) -> dict[str, float]:
    """By how much each utility may differ elsewhere, by column, where no test row changes sides.

    measured: a few coalitions, by this unlearner; scale: size of each utility; size: of a chunk.
    """
    double = measured_in_double(game, unlearner, measured.coalitions, size)
    out = {}
    for column, found in measured.utilities.items():
        out[column] = UNKNOWN * scale[column]
        if double is not None:
            seen = float(np.abs(np.subtract(double[column], found)).max())
            out[column] = max(FACTOR * seen, FLOOR * scale[column])
    return out


def measured_in_double(
    game: LoadedGame, unlearner: Unlearner, coalitions: Coalitions, size: int
) -> Utilities | None:
    """Utilities of coalitions in float64; None where the model cannot be run in it.

    size: of a chunk in float32, which takes half the memory.
    """
    double, columns = in_double(game), dict[str, list[float]]()
    try:
        for part in chunks(coalitions, max(1, size // 2)):
            for name, values in measure(double, unlearner, part, game.utilities).items():
                columns[name] = [*columns.get(name, []), *values]
        return columns
    except (RuntimeError, TypeError):  # a module of the user's that holds float32 numbers itself
        return None


def of_flipped_rows(game: LoadedGame, column: str) -> float:
    """What a utility changes by where `ROWS` test rows change sides; 0 for one that counts none."""
    name = column.partition("[")[0].removesuffix("_per_class")
    if name in LOSSES:
        return 0.0
    y = game.test_y[rows_of(game.utilities, column)]
    if game.task == TEXT:
        counted = questions_of(y) if name == "choice_accuracy" else tokens_of(y)
        return ROWS / float(counted.sum())
    rows = len(y)
    if game.task == "classification" and name not in OF_ALL_ROWS:
        counts = y.bincount()
        rows = int(counts[counts > 0].min())
    return ROWS / rows


def _double(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, nn.Module):
        return deepcopy(value).double()
    if isinstance(value, dict):
        return {key: _double(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_double(item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {f.name: _double(getattr(value, f.name)) for f in fields(value) if f.init}
        return replace(value, **changed)
    return value
