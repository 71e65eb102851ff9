"""How far rounding moves utilities: the same game in float32 and in float64.

Other processors, vector widths, numbers of threads and chunk sizes add up float32 numbers in other
orders. How much that can do to a game is seen without any of them: by what float64 changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
from torch import Tensor, nn

from unshapley.game.coalitions import Coalitions
from unshapley.game.game import Game
from unshapley.game.measuring import Utilities, measure
from unshapley.game.utilities import Utility
from unshapley.unlearning import Unlearner

FACTOR = 10.0
"""Tolerance over the largest change that float64 makes to a few coalitions. What vector widths,
kernels of MKL, chunk sizes and threads change was at most .4 of the largest over all coalitions
(benchmarks/tolerance.py); of a few the largest is smaller."""
FLOOR = 1e-6
"""Least tolerance, relative to the size of the utilities: about ten units of float32's last bit."""
UNKNOWN = 1e-5
"""The same where a model cannot be run in float64."""
ROWS = 2
"""Test rows that may change sides, for a utility that counts them."""
LOSSES = ("neg_log_loss", "neg_brier", "neg_mse", "neg_mae", "r2")
"""Utilities that change little with a model's outputs; all others count rows, or may."""

T = TypeVar("T", bound=Game)


def in_double(game: T) -> T:
    """The game with every floating-point tensor in float64."""
    parts = ("pretrained", "test_x", "test_y")
    return replace(game, **{name: _double(getattr(game, name)) for name in parts})


def rounding(
    game: Game,
    unlearner: Unlearner,
    coalitions: Coalitions,
    utilities: Sequence[Utility],
    measured: Mapping[str, Sequence[float]],
) -> dict[str, float] | None:
    """Largest change that float64 makes to the utilities of coalitions `(m, n)`, by column; None
    where the model cannot be run in it.

    measured: utilities in float32, by column `(m,)`.
    """
    double = measured_in_double(game, unlearner, coalitions, utilities)
    if double is None:
        return None
    return {n: float(np.abs(np.subtract(double[n], measured[n])).max()) for n in double}


def measured_in_double(
    game: Game, unlearner: Unlearner, coalitions: Coalitions, utilities: Sequence[Utility]
) -> Utilities | None:
    """Utilities of coalitions in float64; None where the model cannot be run in it."""
    try:
        return measure(in_double(game), unlearner, coalitions, utilities)
    except (RuntimeError, TypeError):  # a module of the user's that holds float32 numbers itself
        return None


def tolerance_of(column: str, seen: float | None, scale: float, rows: int) -> float:
    """By how much a utility may differ elsewhere.

    seen: largest change by float64, None if unknown; scale: size of the utility; rows: of the test
    set, or of its rarest class.
    """
    least = FLOOR * scale
    allowed = UNKNOWN * scale if seen is None else max(FACTOR * seen, least)
    name = column.partition("[")[0].removesuffix("_per_class")
    return allowed if name in LOSSES else max(allowed, ROWS / rows)


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
