"""Utilities that were measured again, against the recorded ones, within what rounding explains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from unshapley.audit.verdict import Check, compare_numbers
from unshapley.estimators.base import Floats
from unshapley.game.coalitions import Coalitions, to_bits
from unshapley.game.loading import LoadedGame
from unshapley.game.measuring import Measured, Utilities
from unshapley.game.rounding import (
    FACTOR,
    FEW,
    FEW_RETRAINED,
    FLIPS,
    measured_in_double,
    of_flipped_rows,
    tolerances,
)
from unshapley.unlearning import Unlearner
from unshapley.unlearning.retrain import RetrainUnlearner

EXPLAINED = 64
"""Most coalitions beyond it for which float64 is asked whether rounding explains them."""


@dataclass(frozen=True)
class Kind:
    """Coalitions that were measured alike.

    step, what: for the check; unlearner: by which; recorded: utilities by column `(k,)`; found: the
    same, measured again; size: of a chunk.
    """

    step: str
    what: str
    unlearner: Unlearner
    recorded: Utilities
    found: Measured
    size: int


def compare_utilities(
    game: LoadedGame, kind: Kind, scale: Mapping[str, float]
) -> tuple[list[Check], float]:
    """One check a column, and the tolerance of the primary utility, with rows that change sides.

    A coalition that differs by more than the tolerance is measured in float64 too: where that
    changes it as much, rounding explains it. scale: size of each utility.
    """
    found, coalitions = kind.found, kind.found.coalitions
    allowed = tolerances(game, kind.unlearner, _few(kind), scale, kind.size)
    checks, primary = [], max(allowed[found.primary], of_flipped_rows(game, found.primary))
    for column in found.utilities:
        recorded, measured = (np.array(u[column]) for u in (kind.recorded, found.utilities))
        limits = np.full(len(measured), allowed[column])
        beyond = np.flatnonzero(~(np.abs(measured - recorded) <= limits))
        if len(beyond):
            part = beyond[:EXPLAINED]
            own = _own_limits(game, kind, coalitions[part], measured[part], column)
            limits[part] = np.maximum(limits[part], own)
            _allow_flips(limits, np.abs(measured - recorded), of_flipped_rows(game, column))
        what = f"{column} of {kind.what}"
        names = to_bits(coalitions)
        checks.append(compare_numbers(kind.step, what, recorded, measured, limits, names))
    return checks, primary


def _allow_flips(limits: Floats, difference: Floats, by_flips: float) -> None:
    """Of a few coalitions, test rows that lie on the border may change sides."""
    flips = (difference > limits) & (difference <= by_flips * (1 + 1e-6))
    if flips.sum() <= max(1.0, FLIPS * len(limits)):
        limits[flips] = by_flips * (1 + 1e-6)


def _few(kind: Kind) -> Measured:
    """Those that float64 is tried on: of retrained ones the cheapest, which keep least."""
    if isinstance(kind.unlearner, RetrainUnlearner):
        sizes = kind.found.coalitions.sum(axis=1)
        return kind.found.take(np.argsort(sizes, kind="stable")[:FEW_RETRAINED])
    return kind.found.first(min(FEW, len(kind.found)))


def _own_limits(
    game: LoadedGame,
    kind: Kind,
    coalitions: Coalitions,
    measured: Floats,
    column: str,
) -> Floats:
    """What rounding explains of each of a few coalitions `(k,)`."""
    double = measured_in_double(game, kind.unlearner, coalitions, kind.size)
    if double is None:
        return np.zeros(len(coalitions))
    out: Floats = np.nan_to_num(FACTOR * np.abs(np.array(double[column]) - measured), posinf=0.0)
    return out
