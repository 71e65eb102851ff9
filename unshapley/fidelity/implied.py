"""How far values may be from those of retraining, in figures and as a grade."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from unshapley.estimators.base import Floats

LEVEL = 0.9
"""Probability of the intervals."""
RANKED = 6
"""Fewest players for which a rank correlation of values is meaningful."""
RANKS_HOLD = 0.9
"""Expected rank correlation with the values of retraining from which ranks can be relied on."""
NOTHING = 1.0
"""Relative error of calling everybody worth nothing: so unsteady a retraining is no measure."""
APART = 0.9
"""Probability from which the best and the worst provider count as told apart."""


@dataclass(frozen=True)
class Interval:
    """An expectation, and the interval that holds the true figure with probability `LEVEL`."""

    expected: float
    low: float
    high: float


@dataclass(frozen=True)
class ImpliedErrors:
    """What the retrained coalitions imply for the values.

    rel_l2: ‖φ − φ_retrained‖ / ‖φ_retrained‖; rel_l2_other_seed: the same of values that are
    retrained with another seed, for the same U(none) and U(all), where that was tried; spearman:
    rank correlation of φ and φ_retrained, for `RANKED` players or more; best_above_worst:
    probability that, by retraining, the provider with the highest value is worth more than the one
    with the lowest; ranks_hold: whether the expected rank correlation is at least `RANKS_HOLD`.
    """

    rel_l2: Interval
    rel_l2_other_seed: Interval | None
    spearman: Interval | None
    best_above_worst: float
    ranks_hold: bool

    @property
    def grade(self) -> str:
        """What the values are good for: `values` (as good as another retraining), `ranks`,
        `extremes` (only the best and the worst provider are told apart), or `none`.
        """
        other = self.rel_l2_other_seed
        limit = 0.0 if other is None else min(other.expected, NOTHING)
        if self.rel_l2.expected <= limit:
            return "values"
        if self.ranks_hold:
            return "ranks"
        return "extremes" if self.best_above_worst >= APART else "none"

    def summary(self) -> dict[str, Any]:
        """The figures that metrics.json holds."""
        figures = asdict(self)
        del figures["ranks_hold"]
        return figures


def implied_errors(value: Floats, errors: Floats, other_seed: Floats | None) -> ImpliedErrors:
    """Figures and grade of values `(n,)`.

    errors: what is to be added for the values of retraining, drawn from its posterior
    `(draws, n)`; other_seed: the same for retraining with another seed, or None.
    """
    true = value + errors
    correlation = rank_correlation(value, true)
    best, worst = int(value.argmax()), int(value.argmin())
    return ImpliedErrors(
        rel_l2=_interval(relative_l2(errors, true)),
        rel_l2_other_seed=None
        if other_seed is None
        else _interval(relative_l2(other_seed, value + other_seed)),
        spearman=_interval(correlation) if len(value) >= RANKED else None,
        best_above_worst=float(np.mean(true[:, best] > true[:, worst])),
        ranks_hold=float(correlation.mean()) >= RANKS_HOLD,
    )


def relative_l2(errors: Floats, true: Floats) -> Floats:
    """‖errors‖ / ‖true‖ of every draw `(draws, n)`; infinite where true values are all zero."""
    size = np.linalg.norm(true, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        out: Floats = np.nan_to_num(np.linalg.norm(errors, axis=1) / size, nan=0.0, posinf=np.inf)
    return out


def rank_correlation(value: Floats, true: Floats) -> Floats:
    """Spearman's correlation of values `(n,)` with each of `(draws, n)`; 0 where all are equal."""
    middle = (len(value) + 1) / 2
    # by pandas: importing scipy.stats takes half a second
    a = pd.Series(value).rank().to_numpy() - middle
    b = pd.DataFrame(true).rank(axis=1).to_numpy() - middle
    size = np.sqrt((a @ a) * (b**2).sum(axis=1))
    out: Floats = np.divide(b @ a, size, out=np.zeros(len(b)), where=size > 0)
    return out


def _interval(figures: Floats) -> Interval:
    low, high = np.quantile(figures, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(figures.mean()), float(low), float(high))
