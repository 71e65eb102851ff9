"""Pairwise Shapley interactions: which providers are redundant, which complement each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, special

from unshapley.estimators import Plan
from unshapley.estimators.countkernel import Floats
from unshapley.estimators.functional import interaction_covariance
from unshapley.estimators.gaussian_process import HELD
from unshapley.estimators.posterior import posterior
from unshapley.numerics import one_thread


@dataclass(frozen=True)
class Interactions:
    """value, std_error: of each pair `(n, n)`, symmetric, zero on the diagonal.

    Negative: each contributes less if the other is present, as duplicates do; positive: more.
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
    size, weights = x.sum(axis=1), fitted.solve(fitted.residual)
    value, error = np.zeros((n, n)), np.zeros((n, n))
    deviation = fitted.deviation()
    level = utilities.mean()
    constant = (table[0] + table[-1] - 2 * level) / (n - 1)
    for i in range(n):
        cross = by_count[size[:, None], x[:, i, None].astype(int) + x[:, i + 1 :]]
        value[i, i + 1 :] = fitted.scale * (cross.T @ weights) + constant
        half = linalg.solve_triangular(fitted.factor, cross, lower=True)
        variance = np.clip(prior - (half**2).sum(axis=0), 0, None)
        error[i, i + 1 :] = deviation * np.sqrt(variance)
    return Interactions(value + value.T, error + error.T)
