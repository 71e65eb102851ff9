"""An estimator of one's own: the mean of leave-one-out and add-one-in.

unshapley run   with   valuation.estimator: examples.own_estimator:EndsEstimator
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from unshapley.estimators.base import SAMPLING, Estimate, Floats, Plan, check_budget, check_shapley


class EndsEstimator:
    """φ_i ∝ (U(i) − U(none) + U(all) − U(all without i)) / 2, scaled to sum to U(all) − U(none).

    Measures 2n coalitions, whatever the budget; no standard errors.
    """

    name: ClassVar[str] = "ends"

    def plan(self, n: int, budget: int, seed: int) -> Plan:
        """The coalitions of one provider, and of all but one."""
        check_budget(budget, 2 * n, n)
        alone = np.eye(n, dtype=bool)
        return Plan(self.name, np.vstack([alone, ~alone]), "both ends of the game")

    def estimate(self, plan: Plan, table: Floats, semivalue: Floats) -> Estimate:
        """Values from utilities of nobody, the plan's coalitions, and everybody `(2n + 2,)`."""
        check_shapley(self.name, semivalue)
        n = plan.n
        none, alone, without, full = table[0], table[1 : n + 1], table[n + 1 : -1], table[-1]
        value = (alone - none + full - without) / 2
        value = value * (full - none) / value.sum()
        unknown = np.full((n, n), np.nan)
        return Estimate(value, {SAMPLING: unknown}, value[None], np.array([2 * n]))
