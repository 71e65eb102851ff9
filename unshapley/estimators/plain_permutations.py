"""Values from independent permutations."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from unshapley.estimators.base import Estimate, Floats, Plan
from unshapley.estimators.orders import mean_over_blocks, plan_of_blocks


class PlainPermutationEstimator:
    """φ_i ≈ mean over random orders of U(those before i, and i) − U(those before i).

    Castro, Gómez, Tejada, "Polynomial calculation of the Shapley value based on sampling" (2009).
    Another semivalue weighs the gain at position j by n · weights[j] (Kwon, Zou, AISTATS 2022,
    section 4). Unbiased; Shapley values sum to U(all) − U(none). The covariance is that of a mean
    of independent permutations, the interval Student's t over them.
    """

    name: ClassVar[str] = "plain_permutations"

    def plan(self, n: int, budget: int, seed: int) -> Plan:
        return plan_of_blocks(self.name, n, budget, seed, lambda rng: rng.permutation(n)[None])

    def estimate(self, plan: Plan, table: Floats, semivalue: Floats) -> Estimate:
        return mean_over_blocks(plan, table, 1, plan.n - 1, plan.n * np.asarray(semivalue))
