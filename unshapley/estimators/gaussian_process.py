"""Values from a Gaussian process over coalitions, for any number of providers."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from unshapley.estimators.adjusted import adjusted
from unshapley.estimators.base import Estimate, Floats, Plan, check_budget, is_shapley
from unshapley.estimators.permutations import antithetic
from unshapley.estimators.posterior import posterior
from unshapley.estimators.sampling import kernel_weights, paired

FEWEST = 8
FEWEST_PAIRS = 10
"""Antithetic pairs needed beyond `HELD`: their spread gives the standard error."""
HELD = 2500
"""Most coalitions that the process is conditioned on: its cost grows with their cube."""


class GaussianProcessEstimator:
    """The posterior mean of a semivalue, given the measured utilities.

    A Gaussian process whose covariance depends on counts only (`countkernel`) predicts the utility
    of every coalition; a semivalue is a linear functional of it, in closed form for any n
    (`functional`). Its standard error is the posterior's, scaled by how far utilities of pairs of
    coalitions are from predictions made without them, weighted as the values weight them
    (`calibration`); its intervals are Student's. Where leave-one-out errors depend on the size, as
    in a weighted majority, deviations get an amplitude by size, and values at least the error that
    a step leaves open. Shapley values sum to U(all) − U(none) exactly. Coalitions come in
    complementary pairs, drawn without replacement with the probabilities of the Shapley kernel.
    Coalitions beyond the first `HELD` are those of antithetic permutations, which correct the
    Shapley values (`adjusted`); other semivalues use the first `HELD` only. Predicting all
    coalitions one by one with a Gaussian process is known; the closed form is ours.
    """

    name: ClassVar[str] = "gaussian_process"

    def plan(self, n: int, budget: int, seed: int) -> Plan:
        check_budget(budget, FEWEST, n)
        count = min(budget, 2**n - 2)
        coalitions = paired(n, min(count, HELD), seed, kernel_weights)
        permutations = np.empty((0, n), dtype=np.int64)
        if count >= HELD + FEWEST_PAIRS * 2 * (n - 1):
            coalitions, permutations = antithetic(n, count, seed, coalitions)
        reason = f"the most exact from {len(coalitions)} of {_number_of_coalitions(n)} coalitions"
        return Plan(self.name, coalitions, reason, permutations)

    def estimate(self, plan: Plan, table: Floats, semivalue: Floats) -> Estimate:
        if len(plan.coalitions) > HELD and is_shapley(semivalue):
            return adjusted(HELD, plan, table, semivalue)
        held = min(HELD, len(plan.coalitions))
        held_table = np.append(table[: held + 1], table[-1])
        fitted = posterior(plan.coalitions[:held], held_table[1:-1])
        estimate = fitted.estimate(held_table, semivalue)
        if held == len(plan.coalitions) or estimate.operator is None:
            return estimate
        unused = np.zeros((plan.n, len(plan.coalitions) - held))
        operator = np.hstack([estimate.operator[:, :-1], unused, estimate.operator[:, -1:]])
        return replace(estimate, operator=operator)


def _number_of_coalitions(n: int) -> str:
    return f"{2**n - 2:,}" if n < 40 else f"2^{n}"
