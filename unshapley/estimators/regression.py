"""Shapley values as the coefficients of a weighted regression: KernelSHAP and leverage scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from scipy import special

from unshapley.estimators.base import Estimate, Floats, Plan, check_budget, check_shapley
from unshapley.estimators.linear import PER_PROVIDER, linear_estimate
from unshapley.estimators.sampling import inclusion, kernel_weights, leverage_weights, paired
from unshapley.game.coalitions import Coalitions


class RegressionEstimator:
    """φ = argmin Σ_S k(S) / π(S) · (U(S) − U(none) − Σ_{i∈S} φ_i)² with Σφ = U(all) − U(none).

    k(S) ∝ 1 / (C(n, s) · s · (n − s)) is the Shapley kernel, π(S) the probability that S is
    measured. Over all coalitions the minimum is the Shapley value (Charnes et al. 1988; Lundberg,
    Lee 2017, theorem 2), and the sum over measured ones, weighted by 1 / π, is an unbiased estimate
    of the sum over all. Coalitions come in complementary pairs without replacement; the covariance
    is by the delete-group jackknife over pairs (`linear.jackknife`). Gives Shapley values only.
    """

    name: ClassVar[str]
    weights: Callable[[int], Floats]

    def plan(self, n: int, budget: int, seed: int) -> Plan:
        check_budget(budget, PER_PROVIDER * n, n)
        count = min(budget, 2**n - 2) // 2 * 2
        coalitions = paired(n, count, seed, type(self).weights)
        return Plan(self.name, coalitions, f"{count // 2} pairs fit into the budget of {budget}")

    def estimate(self, plan: Plan, table: Floats, semivalue: Floats) -> Estimate:
        check_shapley(self.name, semivalue)
        return linear_estimate(plan, table, self._operator, unit=2)

    def _operator(self, coalitions: Coalitions) -> Floats:
        return constrained_regression(coalitions, shapley_weights(coalitions, type(self).weights))


class KernelShapEstimator(RegressionEstimator):
    """KernelSHAP: `RegressionEstimator` on coalitions drawn by the Shapley kernel.

    Covert, Lee, "Improving KernelSHAP: practical Shapley value estimation using linear regression"
    (AISTATS 2021), sections 3 and 4: the constrained solution, paired sampling. There coalitions
    are drawn with replacement and weighted equally; here none is measured twice, so each has the
    weight kernel / probability: almost equal while few are measured, and exact once all are.
    """

    name: ClassVar[str] = "kernel_shap"
    weights = staticmethod(kernel_weights)


class LeverageEstimator(RegressionEstimator):
    """Leverage SHAP: `RegressionEstimator` on coalitions drawn by leverage scores.

    Musco, Witter, "Provably accurate Shapley value estimation via leverage score sampling" (ICLR
    2025), algorithm 1: all sizes equally likely, in pairs, without replacement, weights
    kernel / probability. There the number of coalitions is random, here it is fixed.
    """

    name: ClassVar[str] = "leverage"
    weights = staticmethod(leverage_weights)


def shapley_weights(coalitions: Coalitions, drawn_by: Callable[[int], Floats]) -> Floats:
    """Shapley kernel divided by the probability of being measured `(m,)`."""
    m, n = coalitions.shape
    size = coalitions.sum(axis=1)
    kernel = kernel_weights(n) / special.binom(n, np.arange(1, n))
    out: Floats = (kernel / inclusion(n, m, drawn_by))[size - 1]
    return out


def constrained_regression(coalitions: Coalitions, weight: Floats) -> Floats:
    """The weighted least-squares fit of an additive game with Σφ = U(all) − U(none), as a matrix
    `(n, m + 2)`. Of several solutions, the one whose values have the smallest variance.
    """
    n = coalitions.shape[1]
    share = coalitions.mean(axis=1)
    # φ = (U(all) − U(none)) / n + β with Σβ = 0: memberships enter as deviations from their mean
    members = coalitions - share[:, None]
    scaled = members * (weight / weight.max())[:, None]
    beta = np.linalg.pinv(members.T @ scaled, rcond=1e-10, hermitian=True) @ scaled.T
    slope = beta @ share
    none = slope - beta.sum(axis=1) - 1 / n
    operator: Floats = np.column_stack([none, beta, 1 / n - slope])
    return operator
