"""Estimators: a file each, and one line each in this registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from unshapley.estimators.base import Estimate, Estimator, Plan
from unshapley.estimators.exact import ExactEstimator
from unshapley.estimators.permutations import PermutationEstimator

ESTIMATORS: Mapping[str, Estimator] = {
    "exact": ExactEstimator(),
    "permutations": PermutationEstimator(),
}


def make_plan(estimator: str, n: int, budget: int, seed: int) -> Plan:
    """The coalitions to measure; a budget that covers all of them means exact values."""
    if 2**n - 2 <= budget:
        estimator = "exact"
    elif estimator == "auto":
        estimator = "permutations"
    plan = ESTIMATORS[estimator].plan(n, budget, seed)
    # coalitions of like size share a chunk: its models then train on about as many rows
    order = np.argsort(plan.coalitions.sum(axis=1), kind="stable")
    return replace(plan, coalitions=plan.coalitions[order])


__all__ = ["ESTIMATORS", "Estimate", "Estimator", "Plan", "make_plan"]
