"""Pairwise Shapley interactions: which providers are redundant, which complement each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special

from unshapley.estimators import Plan
from unshapley.estimators.calibration import interaction_contrasts
from unshapley.estimators.countkernel import Floats
from unshapley.estimators.functional import interaction_covariance
from unshapley.estimators.gaussian_process import HELD
from unshapley.estimators.posterior import posterior
from unshapley.game.coalitions import Coalitions
from unshapley.numerics import one_thread

Ints = NDArray[np.int64]

LISTED = 5000
"""Pairs with a standard error where there are more, half of them those with the smallest values,
half with the largest: an error takes a solution of a triangular system for each pair."""
BLOCK = 128
"""Pairs that are solved for at a time."""
CALIBRATED_ON = 64
"""Pairs, evenly spread, by which the errors are calibrated."""


@dataclass(frozen=True)
class Interactions:
    """value, std_error: of each pair `(n, n)`, symmetric, zero on the diagonal.

    Negative: each contributes less if the other is present, as duplicates do; positive: more. The
    standard error is NaN for pairs that are not `LISTED`.
    """

    value: Floats
    std_error: Floats


@one_thread()
def interactions(plan: Plan, table: Floats) -> Interactions:
    """Shapley interaction index of all pairs (Grabisch, Roubens 1999): the weighted mean of
    U(S ∪ ij) − U(S ∪ i) − U(S ∪ j) + U(S) over all S without i and j.

    table: utilities of the empty coalition, the plan's coalitions, the full coalition `(m + 2,)`.
    Exact where the plan has all coalitions, else by the Gaussian process, whichever estimator made
    the plan.
    """
    if len(plan.coalitions) == 2**plan.n - 2:
        return _exact(plan, table)
    return _posterior(plan, table)


def _exact(plan: Plan, table: Floats) -> Interactions:
    n = plan.n
    ends = np.array([[False], [True]]).repeat(n, axis=1)
    coalitions = np.vstack([ends[:1], plan.coalitions, ends[1:]])
    size, sign = coalitions.sum(axis=1), np.where(coalitions, 1.0, -1.0)
    value = np.zeros((n, n))
    weight = 1 / ((n - 1) * special.binom(n - 2, np.arange(n - 1)))
    for i in range(n):
        others = size[:, None] - coalitions[:, i, None] - coalitions[:, i + 1 :]
        value[i, i + 1 :] = (sign[:, i] * table) @ (weight[others] * sign[:, i + 1 :])
    return Interactions(value + value.T, np.zeros((n, n)))


def _posterior(plan: Plan, table: Floats) -> Interactions:
    n, x = plan.n, plan.coalitions[:HELD]
    utilities = table[1 : len(x) + 1]
    fitted = posterior(x, utilities)
    by_count, prior = interaction_covariance(fitted.kernel)
    covariance = _PairCovariance(x, by_count)
    constant = (table[0] + table[-1] - 2 * utilities.mean()) / (n - 1)
    value = fitted.scale * covariance.weighted(fitted.solve(fitted.residual)) + constant
    np.fill_diagonal(value, 0.0)
    first, second = _listed(value)
    variance = np.empty(len(first))
    for start in range(0, len(first), BLOCK):
        part = slice(start, start + BLOCK)
        cross = covariance.of(first[part], second[part])
        half = linalg.solve_triangular(fitted.factor, cross, lower=True)
        variance[part] = prior - (half**2).sum(axis=0)
    error = np.full((n, n), np.nan)
    np.fill_diagonal(error, 0.0)
    some = np.unique(np.linspace(0, len(first) - 1, CALIBRATED_ON).astype(int))
    both = (x[:, first[some]].astype(np.int64) + x[:, second[some]]).T
    factor = fitted.calibration(interaction_contrasts(fitted.size, both, n)).widened
    error[first, second] = factor * fitted.scale * np.sqrt(np.clip(variance, 0, None))
    error[second, first] = error[first, second]
    return Interactions(value, error)


class _PairCovariance:
    """Covariance of pairs' interactions with the utilities of coalitions `(m, n)`.

    That of one pair is linear in whether a coalition has the first, the second, and both.
    """

    def __init__(self, coalitions: Coalitions, by_count: Floats) -> None:
        self.has = coalitions.astype(np.float64)
        none, one, both = by_count[coalitions.sum(axis=1)].T
        self.none, self.either, self.both = none, one - none, both - 2 * one + none

    def of(self, first: Ints, second: Ints) -> Floats:
        """Covariances `(m, pairs)` of pairs `(pairs,)`."""
        one, other = self.has[:, first], self.has[:, second]
        out: Floats = self.none[:, None] + self.either[:, None] * (one + other)
        out += self.both[:, None] * (one * other)
        return out

    def weighted(self, weights: Floats) -> Floats:
        """Σ_T weights[T] · covariance with U(T), for all pairs `(n, n)`."""
        single = (weights * self.either) @ self.has
        double = self.has.T @ ((weights * self.both)[:, None] * self.has)
        # the product is symmetric but for rounding, which would depend on the order of a pair
        out: Floats = weights @ self.none + single[:, None] + single + (double + double.T) / 2
        return out


def _listed(value: Floats) -> tuple[Ints, Ints]:
    """The pairs that get a standard error: the first ones `(pairs,)` and the second ones."""
    first, second = np.triu_indices(len(value), 1)
    if len(first) > LISTED:
        order = np.argsort(value[first, second], kind="stable")
        chosen = np.sort(np.concatenate([order[: LISTED // 2], order[-(LISTED // 2) :]]))
        first, second = first[chosen], second[chosen]
    return first, second
