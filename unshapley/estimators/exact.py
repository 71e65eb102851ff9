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

    Measures all 2ⁿ − 2 coalitions between nobody and everybody; no sampling error. Up to `LISTED`
    providers they come in the order of the Gaussian process, whose plans this one continues.
    """

    name: ClassVar[str] = "exact"

    def plan(self, n: int, budget: int, seed: int) -> Plan:
        if 2**n - 2 > budget:
            raise InputError(
                f"exact values of {n} providers need all {2**n - 2} coalitions, "
                f"the budget is {budget}",
                where="valuation.budget",
                do=f"raise it to {2**n - 2}, or set estimator: auto",
            )
        if n <= LISTED:
            coalitions = paired(n, 2**n - 2, seed, kernel_weights)
        else:  # of like size together: they train on about as many rows
            coalitions = everything(n)
            coalitions = coalitions[np.argsort(coalitions.sum(axis=1), kind="stable")]
        reason = f"the budget of {budget} covers all {2**n - 2} coalitions"
        return Plan(self.name, coalitions, reason)

    def estimate(self, plan: Plan, table: Floats, semivalue: Floats) -> Estimate:
        n = plan.n
        ends = np.array([[False], [True]]).repeat(n, axis=1)
        stays = np.vstack([ends[:1], plan.coalitions, ends[1:]])
        size = stays.sum(axis=1)
        # of one coalition: mean over all of its size that a provider is in, or is not in
        joined = np.append(0.0, semivalue / special.binom(n - 1, np.arange(n)))[size]
        stayed_out = np.append(semivalue / special.binom(n - 1, np.arange(n)), 0.0)[size]
        operator: Floats = np.where(stays.T, joined, -stayed_out)
        value = operator @ table
        zero = np.zeros((n, n))
        return Estimate(value, {SAMPLING: zero}, value[None], np.array([2**n - 2]), operator)
