"""The interface of estimators: a plan of coalitions, and values from their utilities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special

from unshapley.errors import InputError
from unshapley.game.coalitions import Coalitions, to_bits

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NORMAL = float(special.ndtri(0.975))
SAMPLING, TEST_SET, CORRECTION = "sampling", "test_set", "correction"
"""Sources of the error of a value."""


@dataclass(frozen=True)
class Plan:
    """The coalitions to measure, determined by (n, estimator, budget, seed).

    coalitions: distinct, without the empty and the full coalition `(m, n)`; a larger budget appends
    to them; permutations: providers in order of joining `(k, n)`, for estimators that need them;
    reason: why these coalitions, for log and manifest.
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
    """Values of n providers with their errors.

    value: `(n,)`; errors: covariance `(n, n)` by error source: `sampling`, and `test_set` and
    `correction` where they apply; NaN where the estimator gives none; quantile: 97.5 % quantile of
    the standardised sampling error; history: estimates from the first coalitions only `(steps, n)`;
    measured: the number of coalitions behind each of them `(steps,)`; operator: the matrix
    `(n, m + 2)` with value = operator @ table, where anything chosen from the utilities, such as a
    kernel, is held fixed; efficient: whether Shapley values sum to U(all) − U(none).
    """

    value: Floats
    errors: Mapping[str, Floats]
    history: Floats
    measured: NDArray[np.int64]
    operator: Floats | None = None
    quantile: float = NORMAL
    efficient: bool = True

    def error_of(self, part: str) -> Floats | None:
        """Standard errors `(n,)` from one error source; None where it does not apply."""
        covariance = self.errors.get(part)
        return None if covariance is None else _root(np.diag(covariance))

    @property
    def covariance(self) -> Floats:
        """Covariance of the values, summed over all error sources `(n, n)`."""
        out: Floats = np.sum(list(self.errors.values()), axis=0)
        return out

    @property
    def widened(self) -> Floats:
        """Covariance `(n, n)` whose normal 95 % intervals are as wide as those of the estimate."""
        inflation = (self.quantile / NORMAL) ** 2
        parts = [(inflation if p == SAMPLING else 1.0) * c for p, c in self.errors.items()]
        out: Floats = np.sum(parts, axis=0)
        return out

    @property
    def std_error(self) -> Floats:
        return _root(np.diag(self.covariance))

    @property
    def half_width(self) -> Floats:
        """Half-widths of the 95 % intervals of the values `(n,)`."""
        return self._half_width(np.diag)

    def half_width_of_difference(self, first: Ints, second: Ints) -> Floats:
        """Half-widths of the 95 % intervals of differences of two values each `(k,)`."""

        def variance(c: Floats) -> Floats:
            out: Floats = c[first, first] + c[second, second] - 2 * c[first, second]
            return out

        return self._half_width(variance)

    def _half_width(self, variance: Callable[[Floats], Floats]) -> Floats:
        parts = [
            (self.quantile if part == SAMPLING else NORMAL) ** 2 * variance(covariance)
            for part, covariance in self.errors.items()
        ]
        return _root(np.sum(parts, axis=0))

    @property
    def ci_low(self) -> Floats:
        out: Floats = self.value - self.half_width
        return out

    @property
    def ci_high(self) -> Floats:
        out: Floats = self.value + self.half_width
        return out


class Estimator(Protocol):
    """Utilities of coalitions → values."""

    name: ClassVar[str]

    def plan(self, n: int, budget: int, seed: int) -> Plan:
        """Coalitions for at most `budget` measurements; `InputError` if that is too few.

        The plan of a larger budget begins with that of a smaller one.
        """
        ...

    def estimate(self, plan: Plan, table: Floats, semivalue: Floats) -> Estimate:
        """Values from utilities.

        table: utilities of the empty coalition, of the plan's coalitions in their order, and of
        the full coalition `(m + 2,)`; semivalue: weight of each coalition size `(n,)`. Raises
        `InputError` for a semivalue that the estimator cannot give.
        """
        ...


def check_budget(budget: int, needed: int, n: int) -> None:
    """Raise `InputError` for a budget below `needed`; all coalitions are always enough."""
    needed = min(needed, 2**n - 2)
    if budget < needed:
        raise InputError(
            f"{budget} coalitions are too few for values of {n} providers with standard errors",
            where="valuation.budget",
            expected=f"at least {needed}",
            do="raise the budget",
        )


def check_shapley(name: str, semivalue: Floats) -> None:
    """Raise `InputError` for a semivalue other than Shapley's."""
    if not is_shapley(semivalue):
        raise InputError(
            f"{name} gives Shapley values only",
            where="valuation.estimator",
            do="set valuation.estimator to auto, or call `estimate` without a semivalue",
        )


def is_shapley(semivalue: Floats) -> bool:
    """Whether every coalition size has the same weight."""
    return bool(np.allclose(semivalue, 1 / len(semivalue)))


def check_table(plan: Plan, table: Floats) -> None:
    """Raise `InputError` for utilities that do not fit the plan or are not finite."""
    m = len(plan.coalitions)
    if table.shape != (m + 2,):
        raise InputError(
            f"utilities of shape {table.shape}: the plan belongs to another game",
            expected=f"{m + 2}: empty coalition, the plan's {m} coalitions, full coalition",
        )
    ends = np.array([[False], [True]]).repeat(plan.n, axis=1)
    names = to_bits(np.vstack([ends[:1], plan.coalitions, ends[1:]]))
    missing = [name for name, u in zip(names, table, strict=True) if not np.isfinite(u)]
    if missing:
        raise InputError(
            f"{len(missing)} of {m + 2} utilities are not finite numbers: {_first_few(missing)}",
            expected="a finite utility of every coalition",
            do="measure those coalitions again",
        )
    if plan.estimator == "exact" and m != 2**plan.n - 2:
        raise InputError(
            f"exact values from {m} coalitions of {plan.n} providers",
            expected=f"all {2**plan.n - 2}",
            do="make the plan with another estimator",
        )
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(
            f"{len(repeated)} coalitions are in the plan more than once: {_first_few(repeated)}",
            expected="distinct coalitions, without the empty and the full coalition",
        )


def _first_few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _root(variance: Floats) -> Floats:
    """Square root; a variance that rounding made negative counts as zero."""
    out: Floats = np.sqrt(np.where(variance < 0, 0.0, variance))
    return out
