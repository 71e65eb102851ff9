"""Values from permutations with all their cyclic shifts."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from unshapley.estimators.base import Estimate, Floats, Plan
from unshapley.estimators.orders import Ints, mean_over_blocks, plan_of_blocks


class CyclicPermutationEstimator:
    """Mean marginal contribution over random orders, each with its n cyclic shifts.

    In a block every provider stands at every position once, so that effects of the position alone
    cancel: stratification by position (Castro et al. 2017), at n (n − 1) coalitions per block
    (cyclic shifts: Mitchell et al., JMLR 2022, section 4). Unbiased for any semivalue; Shapley
    values sum to U(all) − U(none). The covariance is that of a mean of independent blocks, the
    interval Student's t over them.
    """

    name: ClassVar[str] = "cyclic_permutations"

    def plan(self, n: int, budget: int, seed: int) -> Plan:
        return plan_of_blocks(self.name, n, budget, seed, lambda rng: _shifts(rng.permutation(n)))

    def estimate(self, plan: Plan, table: Floats, semivalue: Floats) -> Estimate:
        return mean_over_blocks(plan, table, plan.n, plan.n - 1, plan.n * np.asarray(semivalue))


def _shifts(permutation: Ints) -> Ints:
    return np.array([np.roll(permutation, -shift) for shift in range(len(permutation))])
