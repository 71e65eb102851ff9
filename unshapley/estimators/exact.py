"""Exact values from all coalitions."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy import special

from unshapley.errors import InputError
from unshapley.estimators.base import SAMPLING, Estimate, Floats, Plan
from unshapley.estimators.sampling import LISTED, everything, kernel_weights, paired


class ExactEstimator:
    """φ_i = Σ_{S ∌ i} |S|! (n − |S| − 1)! / n! · (U(S ∪ i) − U(S)) (Shapley 1953), or with the
    weights of another semivalue.

    Measures all 2ⁿ − 2 coalitions between the empty and the full one; no sampling error. With up to
    `LISTED` providers the order is that of the Gaussian process, so that this plan extends its
    plans.
    """

    name: ClassVar[str] = "exact"

    def plan(self, n: int, budget: int, seed: int) -> Plan:
        if 2**n - 2 > budget:
            raise InputError(
                f"exact values of {n} providers need all {2**n - 2} coalitions, "
                f"the budget is {budget}",
                where="valuation.budget",
                do=f"raise it to {2**n - 2}, or set valuation.estimator: auto",
            )
        if n <= LISTED:
            coalitions = paired(n, 2**n - 2, seed, kernel_weights)
        else:  # similar sizes are adjacent, as they train on about as many rows
            coalitions = everything(n)
            coalitions = coalitions[np.argsort(coalitions.sum(axis=1), kind="stable")]
        reason = f"the budget of {budget} covers all {2**n - 2} coalitions"
        return Plan(self.name, coalitions, reason)

    def estimate(self, plan: Plan, table: Floats, semivalue: Floats) -> Estimate:
        n = plan.n
        ends = np.array([[False], [True]]).repeat(n, axis=1)
        coalitions = np.vstack([ends[:1], plan.coalitions, ends[1:]])
        size = coalitions.sum(axis=1)
        # weight of a coalition for its members, and for all other providers
        member = np.append(0.0, semivalue / special.binom(n - 1, np.arange(n)))[size]
        other = np.append(semivalue / special.binom(n - 1, np.arange(n)), 0.0)[size]
        operator: Floats = np.where(coalitions.T, member, -other)
        value = operator @ table
        zero = np.zeros((n, n))
        return Estimate(value, {SAMPLING: zero}, value[None], np.array([2**n - 2]), operator)
