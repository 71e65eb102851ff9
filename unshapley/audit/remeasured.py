"""Utilities that were measured again, against the recorded ones, within what rounding explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unshapley.audit.verdict import Check, compare_numbers
from unshapley.estimators.base import Floats
from unshapley.game.coalitions import Coalitions, to_bits
from unshapley.game.game import Game
from unshapley.game.measuring import Measured, Utilities
from unshapley.game.rounding import FACTOR, measured_in_double, tolerance_of
from unshapley.game.utilities import Utility
from unshapley.unlearning import Unlearner
from unshapley.unlearning.retrain import RetrainUnlearner

DOUBLED, RETRAINED = 8, 2
"""Coalitions that are also measured in float64, for the tolerance: unlearned ones, and retrained
ones, which cost more: those that keep least."""
EXPLAINED = 32
"""Most coalitions beyond it for which float64 is asked whether rounding explains them."""


@dataclass(frozen=True)
class Kind:
    """Coalitions that were measured alike.

    step, what: for the check; unlearner: by which; recorded: utilities by column `(k,)`; found: the
    same, measured again.
    """

    step: str
    what: str
    unlearner: Unlearner
    recorded: Utilities
    found: Measured

    @property
    def retrained(self) -> bool:
        return isinstance(self.unlearner, RetrainUnlearner)


def compare_utilities(
    game: Game, utilities: Sequence[Utility], kind: Kind, scale: Mapping[str, float]
) -> tuple[list[Check], float]:
    """One check a column, and the tolerance of the primary utility.

    A coalition that differs by more than the tolerance is measured in float64 too: where that
    changes it as much, rounding explains it. scale: size of each utility.
    """
    found, coalitions = kind.found, kind.found.coalitions
    tolerances = _tolerances(game, utilities, kind, scale)
    checks, primary = [], tolerances[found.primary]
    for column in found.utilities:
        recorded, measured = (np.array(u[column]) for u in (kind.recorded, found.utilities))
        limits = np.full(len(measured), tolerances[column])
        beyond = np.flatnonzero(~(np.abs(measured - recorded) <= limits))
        if len(beyond):
            part = beyond[:EXPLAINED]
            limits[part] = np.maximum(
                limits[part],
                _own_limits(game, utilities, kind, coalitions[part], measured[part], column),
            )
        what = f"{column} of {kind.what}"
        names = to_bits(coalitions)
        checks.append(compare_numbers(kind.step, what, recorded, measured, limits, names))
    return checks, primary


def _tolerances(
    game: Game, utilities: Sequence[Utility], kind: Kind, scale: Mapping[str, float]
) -> dict[str, float]:
    part = np.arange(min(DOUBLED, len(kind.found)))
    if kind.retrained:
        part = np.argsort(kind.found.coalitions.sum(axis=1), kind="stable")[:RETRAINED]
    measured = kind.found.take(part)
    double = measured_in_double(game, kind.unlearner, measured.coalitions, utilities)
    rows = rarest(game)
    out = {}
    for column, found in measured.utilities.items():
        seen = None
        if double is not None:
            seen = float(np.abs(np.subtract(double[column], found)).max())
        out[column] = tolerance_of(column, seen, scale[column], rows)
    return out


def _own_limits(
    game: Game,
    utilities: Sequence[Utility],
    kind: Kind,
    coalitions: Coalitions,
    measured: Floats,
    column: str,
) -> Floats:
    """What rounding explains of each of a few coalitions `(k,)`."""
    double = measured_in_double(game, kind.unlearner, coalitions, utilities)
    if double is None:
        return np.zeros(len(coalitions))
    out: Floats = np.nan_to_num(FACTOR * np.abs(np.array(double[column]) - measured), posinf=0.0)
    return out


def rarest(game: Game) -> int:
    """Test rows, of the rarest class where there are classes."""
    if game.task == "regression":
        return len(game.test_y)
    counts = game.test_y.bincount()
    return int(counts[counts > 0].min())
