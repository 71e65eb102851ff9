"""What every estimator is: a plan of coalitions, and values from their utilities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from unshapley.errors import InputError
from unshapley.game.coalitions import Coalitions, to_bits

Floats = NDArray[np.float64]

NORMAL = float(stats.norm.ppf(0.975))
SAMPLING, TEST_SET, CORRECTION = "sampling", "test_set", "correction"
"""Parts of the error of a value."""


@dataclass(frozen=True)
class Plan:
    """Which coalitions are measured: fixed by (n, estimator, budget, seed).

    coalitions: distinct, without nobody and everybody `(m, n)`, in the order in which they are
    planned: a larger budget continues it; permutations: providers in order of joining `(k, n)`,
    for estimators that need them; reason: why this estimator.
    """

    estimator: str
    coalitions: Coalitions
    reason: str
    permutations: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 0), np.int64))

    @property
    def n(self) -> int:
        return int(self.coalitions.shape[1])


@dataclass(frozen=True)
class Estimate:
    """Values of n providers with what is uncertain of them.

    value: `(n,)`; errors: covariance of each part of the error `(n, n)` by name: `sampling`, and
    `test_set`, `correction` where they apply; NaN where an estimator gives none; quantile:
    of the sampling error at 97.5 %; history: estimate after so many measured coalitions
    `(steps, n)`, measured: those counts `(steps,)`; operator: what the values are of the utilities,
    value = operator @ table `(n, m + 2)`, with what was chosen from the utilities held fixed;
    efficient: Shapley values sum to U(all) − U(none).
    """

    value: Floats
    errors: Mapping[str, Floats]
    history: Floats
    measured: NDArray[np.int64]
    operator: Floats | None = None
    quantile: float = NORMAL
    efficient: bool = True

    def error_of(self, part: str) -> Floats | None:
        """Standard error of one part `(n,)`; none where it does not apply."""
        found = self.errors.get(part)
        return None if found is None else _root(np.diag(found))

    @property
    def covariance(self) -> Floats:
        """Of the values, all parts together `(n, n)`."""
        out: Floats = np.sum(list(self.errors.values()), axis=0)
        return out

    @property
    def widened(self) -> Floats:
        """The covariance of normal errors that would have the intervals' widths `(n, n)`."""
        wider = (self.quantile / NORMAL) ** 2
        parts = [(wider if p == SAMPLING else 1.0) * c for p, c in self.errors.items()]
        out: Floats = np.sum(parts, axis=0)
        return out

    @property
    def std_error(self) -> Floats:
        return _root(np.diag(self.covariance))

    def half_width(self, direction: Floats) -> Floats:
        """Half the 95 % interval of combinations of the values `(k, n)` → `(k,)`."""
        squares = np.zeros(len(direction))
        for part, covariance in self.errors.items():
            quantile = self.quantile if part == SAMPLING else NORMAL
            variance = np.einsum("ki,ij,kj->k", direction, covariance, direction)
            squares = squares + quantile**2 * variance
        return _root(squares)

    @property
    def ci_low(self) -> Floats:
        out: Floats = self.value - self.half_width(np.eye(len(self.value)))
        return out

    @property
    def ci_high(self) -> Floats:
        out: Floats = self.value + self.half_width(np.eye(len(self.value)))
        return out


class Estimator(Protocol):
    """Utilities of coalitions → values."""

    name: ClassVar[str]

    def plan(self, n: int, budget: int, seed: int) -> Plan:
        """Coalitions for at most `budget` measurements; `InputError` where that is too few.

        The plan of a larger budget begins with that of a smaller one.
        """
        ...

    def estimate(self, plan: Plan, table: Floats, semivalue: Floats) -> Estimate:
        """Values from utilities.

        table: of nobody, of the plan's coalitions in their order, of everybody `(m + 2,)`;
        semivalue: weights of the sizes `(n,)`. `InputError` for a semivalue it cannot give.
        """
        ...


def check_budget(budget: int, needed: int, n: int) -> None:
    """Raise `InputError` for a budget too small for an estimator; all coalitions always do."""
    needed = min(needed, 2**n - 2)
    if budget < needed:
        raise InputError(
            f"{budget} coalitions are too few for values of {n} providers with standard errors",
            where="valuation.budget",
            expected=f"at least {needed}",
            do="raise the budget",
        )


def check_shapley(name: str, semivalue: Floats) -> None:
    """Raise `InputError` for another semivalue than Shapley's."""
    if not is_shapley(semivalue):
        raise InputError(
            f"{name} gives Shapley values only",
            where="valuation.estimator",
            do="set estimator: auto, or semivalue: shapley",
        )


def is_shapley(semivalue: Floats) -> bool:
    """Every size weighs the same."""
    return bool(np.allclose(semivalue, 1 / len(semivalue)))


def check_table(plan: Plan, table: Floats) -> None:
    """Raise `InputError` for utilities that are not of this plan, or that are not all numbers."""
    m = len(plan.coalitions)
    if table.shape != (m + 2,):
        raise InputError(
            f"utilities of shape {table.shape}: the plan is of another game",
            expected=f"{m + 2}: nobody, the plan's {m} coalitions, everybody",
        )
    ends = np.array([[False], [True]]).repeat(plan.n, axis=1)
    names = to_bits(np.vstack([ends[:1], plan.coalitions, ends[1:]]))
    missing = [name for name, u in zip(names, table, strict=True) if not np.isfinite(u)]
    if missing:
        raise InputError(
            f"{len(missing)} of {m + 2} utilities are not finite numbers: {_first(missing)}",
            expected="all of them: none may be missing, or the values are those of another game",
            do="measure those coalitions again",
        )
    if plan.estimator == "exact" and m != 2**plan.n - 2:
        raise InputError(
            f"exact values from {m} coalitions of {plan.n} providers",
            expected=f"all {2**plan.n - 2}",
            do="make the plan with another estimator",
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(
            f"{len(twice)} coalitions are in the plan more than once: {_first(twice)}",
            expected="distinct coalitions, without nobody and everybody",
        )


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _root(variance: Floats) -> Floats:
    """Standard deviation; rounding below zero is zero."""
    out: Floats = np.sqrt(np.where(variance < 0, 0.0, variance))
    return out
