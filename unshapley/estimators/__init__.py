"""Estimators: a file each, and one line each in this registry."""

from __future__ import annotations

from collections.abc import Mapping

from unshapley.errors import InputError
from unshapley.estimators.base import CORRECTION, SAMPLING, TEST_SET, Estimate, Estimator, Plan
from unshapley.estimators.exact import ExactEstimator
from unshapley.estimators.gaussian_process import GaussianProcessEstimator
from unshapley.estimators.permutations import PermutationEstimator
from unshapley.shapiq_game import PREFIX, WithShapiq

ESTIMATORS: Mapping[str, Estimator] = WithShapiq(
    {
        kind.name: kind
        for kind in (ExactEstimator(), GaussianProcessEstimator(), PermutationEstimator())
    }
)


def make_plan(estimator: str, n: int, budget: int, seed: int) -> Plan:
    """The coalitions to measure; a budget that covers all of them means exact values.

    `auto`: exact where the budget covers all coalitions, else the Gaussian process, which was
    measured to be the most exact (benchmarks/README.md). Raises `InputError` for an estimator that
    does not exist, or that needs a larger budget.
    """
    if n < 2:
        raise InputError(f"{n} provider: there is nothing to share out", expected="at least 2")
    if 2**n - 2 <= budget:
        estimator = "exact"
    elif estimator == "auto":
        estimator = "gaussian_process"
    if estimator not in ESTIMATORS and not estimator.startswith(PREFIX):
        raise InputError(
            f"there is no estimator {estimator!r}",
            where="valuation.estimator",
            expected=f"auto, or one of {', '.join(ESTIMATORS)}, {PREFIX}NAME",
        )
    return ESTIMATORS[estimator].plan(n, budget, seed)


__all__ = [
    "CORRECTION",
    "ESTIMATORS",
    "SAMPLING",
    "TEST_SET",
    "Estimate",
    "Estimator",
    "Plan",
    "make_plan",
]
