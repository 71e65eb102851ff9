"""Exact Shapley values from all coalitions."""

from __future__ import annotations

from collections.abc import Mapping
from math import comb
from typing import ClassVar

import numpy as np

from unshapley.coalitions import from_masks
from unshapley.errors import InputError
from unshapley.estimators.base import Estimate, Plan


class ExactEstimator:
    """φ_i = Σ_{S ∌ i} |S|! (n − |S| − 1)! / n! · (U(S ∪ i) − U(S)) (Shapley 1953).

    Measures all 2ⁿ − 2 coalitions between nobody and everybody; no sampling error.
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
        coalitions = from_masks(range(1, 2**n - 1), n)
        return Plan(
            self.name,
            coalitions,
            np.empty((0, n), dtype=np.int64),
            f"the budget of {budget} covers all {2**n - 2} coalitions",
        )

    def estimate(self, plan: Plan, utilities: Mapping[int, float], n: int) -> Estimate:
        masks = np.arange(2**n)
        table = np.array([utilities[mask] for mask in masks.tolist()])
        size = from_masks(masks.tolist(), n).sum(axis=1)
        weight = np.array([1 / (n * comb(n - 1, s)) for s in range(n)])
        value = np.empty(n)
        for i in range(n):
            without = masks[masks >> i & 1 == 0]
            gain = table[without | 1 << i] - table[without]
            value[i] = weight[size[without]] @ gain
        return Estimate(
            value, np.zeros(n), value.copy(), value.copy(), value[None], np.array([2**n - 2])
        )
