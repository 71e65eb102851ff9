"""Estimators: a file each, and one line each in this registry."""

from __future__ import annotations

from collections.abc import Mapping

from unshapley.estimators.base import Estimate, Estimator, Plan
from unshapley.estimators.exact import ExactEstimator
from unshapley.estimators.permutations import PermutationEstimator

ESTIMATORS: Mapping[str, Estimator] = {
    "exact": ExactEstimator(),
    "permutations": PermutationEstimator(),
}


def make_plan(estimator: str, n: int, budget: int, seed: int) -> Plan:
    """The coalitions to measure; `auto` is exact where the budget covers all of them."""
    if estimator == "auto":
        estimator = "exact" if 2**n <= budget else "permutations"
    return ESTIMATORS[estimator].plan(n, budget, seed)


__all__ = ["ESTIMATORS", "Estimate", "Estimator", "Plan", "make_plan"]
