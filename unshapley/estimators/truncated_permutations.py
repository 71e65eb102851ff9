"""Values from the first part of permutations."""

from __future__ import annotations

from math import ceil
from typing import ClassVar

import numpy as np

from unshapley.estimators.base import Estimate, Floats, Plan, check_shapley
from unshapley.estimators.orders import mean_over_blocks, plan_of_blocks

MEASURED = 2 / 3
"""Share of the providers up to which prefixes are measured."""


class TruncatedPermutationEstimator:
    """Mean marginal contribution over random orders; the last third shares its gain equally.

    After Ghorbani, Zou, "Data Shapley" (ICML 2019), algorithm 1 (TMC). There a permutation ends
    once its utility is within a tolerance of U(all), and all later providers gain zero. Here the
    plan is fixed before anything is measured, so a permutation ends at position ⌈2n/3⌉, and the
    rest, U(all) − U(prefix), is shared equally among the later providers. So values sum to
    U(all) − U(none), unlike those of TMC. Biased as TMC is: differences between providers who join
    late are ignored. The covariance is that of a mean of independent permutations and does not
    include the bias. Gives Shapley values only.
    """

    name: ClassVar[str] = "truncated_permutations"

    def plan(self, n: int, budget: int, seed: int) -> Plan:
        return plan_of_blocks(
            self.name, n, budget, seed, lambda rng: rng.permutation(n)[None], _longest(n)
        )

    def estimate(self, plan: Plan, table: Floats, semivalue: Floats) -> Estimate:
        check_shapley(self.name, semivalue)
        return mean_over_blocks(plan, table, 1, _longest(plan.n), np.ones(plan.n))


def _longest(n: int) -> int:
    return min(n - 1, ceil(MEASURED * n))
