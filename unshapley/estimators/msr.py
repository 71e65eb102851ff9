"""Values from all measured coalitions at once: maximum sample reuse."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy import special

from unshapley.errors import InputError
from unshapley.estimators.base import Estimate, Floats, Plan, check_budget, is_shapley
from unshapley.estimators.linear import PER_PROVIDER, efficient, linear_estimate
from unshapley.estimators.sampling import inclusion, mixed_weights, paired
from unshapley.game.coalitions import Coalitions


class MsrEstimator:
    """φ_i = weighted mean of U(S) over measured S ∋ i − weighted mean over measured S ∌ i.

    Wang, Jia, "Data Banzhaf" (AISTATS 2023), section 4.2, for Banzhaf values, where all coalitions
    are equally likely and have equal weights. For another semivalue w, S ∋ i has the weight
    w[s − 1] / C(n − 1, s − 1) and S ∌ i the weight w[s] / C(n − 1, s) (as Witter et al. 2025,
    section 2), divided here by the probability that S is measured: half the pairs are drawn
    uniformly, half with all sizes equally likely (`sampling.mixed_weights`). The weights are
    normalised to their sum over all coalitions, so that a constant utility has zero values; the
    empty and the full coalition enter exactly. Shapley values are made to sum to U(all) − U(none)
    by an equal share of the difference for everyone (`linear.efficient`). The covariance is by
    the delete-group jackknife over pairs (`linear.jackknife`).
    """

    name: ClassVar[str] = "msr"

    def plan(self, n: int, budget: int, seed: int) -> Plan:
        return mixed_plan(self.name, n, budget, seed)

    def estimate(self, plan: Plan, table: Floats, semivalue: Floats) -> Estimate:
        check_reach(self.name, plan.coalitions, semivalue)

        def operator_of(coalitions: Coalitions) -> Floats:
            return sample_reuse(coalitions, semivalue)

        return linear_estimate(plan, table, operator_of, unit=2)


def mixed_plan(name: str, n: int, budget: int, seed: int) -> Plan:
    """Complementary pairs whose sizes are drawn by `sampling.mixed_weights`."""
    check_budget(budget, PER_PROVIDER * n, n)
    count = min(budget, 2**n - 2) // 2 * 2
    coalitions = paired(n, count, seed, mixed_weights)
    return Plan(name, coalitions, f"{count // 2} pairs fit into the budget of {budget}")


def size_weights(semivalue: Floats) -> tuple[Floats, Floats]:
    """Weights of a coalition, by its size 0 … n, for its members and for the other providers."""
    n = len(semivalue)
    each = semivalue / special.binom(n - 1, np.arange(n))
    return np.append(0.0, each), np.append(each, 0.0)


def check_reach(name: str, coalitions: Coalitions, semivalue: Floats) -> None:
    """Raise `InputError` if all measured coalitions have weight zero for some provider."""
    size = coalitions.sum(axis=1)
    inside, outside = size_weights(semivalue)
    sides = ((inside, coalitions.T, semivalue[:-1]), (outside, ~coalitions.T, semivalue[1:]))
    unreached = np.zeros(coalitions.shape[1], dtype=bool)
    for weight, included, needed in sides:
        unreached |= (needed.sum() > 0) & ((included * weight[size]).sum(axis=1) == 0)
    if unreached.any():
        raise InputError(
            f"{name} measured no coalition that this semivalue weighs for {unreached.sum()} of "
            f"{len(unreached)} providers",
            where="valuation.estimator",
            do="set valuation.estimator: auto, or raise valuation.budget",
        )


def sample_reuse(coalitions: Coalitions, semivalue: Floats) -> Floats:
    """The formula of `MsrEstimator` as a matrix `(n, m + 2)`."""
    m, n = coalitions.shape
    size = coalitions.sum(axis=1)
    probability = inclusion(n, m, mixed_weights)[size - 1]
    inside, outside = size_weights(semivalue)
    within = _normalised(coalitions.T * (inside[size] / probability), semivalue[:-1].sum())
    without = _normalised(~coalitions.T * (outside[size] / probability), semivalue[1:].sum())
    ends = np.array([[-semivalue[0], semivalue[-1]]]).repeat(n, axis=0)
    operator = np.hstack([ends[:, :1], within - without, ends[:, 1:]])
    return efficient(operator) if is_shapley(semivalue) else operator


def _normalised(weights: Floats, total: float) -> Floats:
    """Rows scaled to the sum `total`; rows of zeros stay zero."""
    sums = weights.sum(axis=1, keepdims=True)
    out: Floats = np.divide(weights * total, sums, out=np.zeros_like(weights), where=sums > 0)
    return out
