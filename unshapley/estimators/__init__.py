"""Estimators: one file for each, and one line in this registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from unshapley.errors import InputError
from unshapley.estimators.base import (
    CORRECTION,
    SAMPLING,
    TEST_SET,
    Estimate,
    Estimator,
    Floats,
    Plan,
    check_table,
)
from unshapley.estimators.cyclic_permutations import CyclicPermutationEstimator
from unshapley.estimators.exact import ExactEstimator
from unshapley.estimators.gaussian_process import GaussianProcessEstimator
from unshapley.estimators.msr import MsrEstimator
from unshapley.estimators.permutations import PermutationEstimator
from unshapley.estimators.plain_permutations import PlainPermutationEstimator
from unshapley.estimators.regression import KernelShapEstimator, LeverageEstimator
from unshapley.estimators.regression_msr import RegressionMsrEstimator, TreeMsrEstimator
from unshapley.estimators.semivalues import shapley
from unshapley.estimators.shapiq_adapter import PREFIX, WithShapiq
from unshapley.estimators.strata import ComplementaryEstimator, StratifiedEstimator, SvarmEstimator
from unshapley.estimators.truncated_permutations import TruncatedPermutationEstimator
from unshapley.extensions import check_parameters_of, find
from unshapley.numerics import one_thread

_ALL: tuple[Estimator, ...] = (
    ExactEstimator(),
    GaussianProcessEstimator(),
    PermutationEstimator(),
    PlainPermutationEstimator(),
    CyclicPermutationEstimator(),
    TruncatedPermutationEstimator(),
    KernelShapEstimator(),
    LeverageEstimator(),
    StratifiedEstimator(),
    SvarmEstimator(),
    ComplementaryEstimator(),
    MsrEstimator(),
    RegressionMsrEstimator(),
    TreeMsrEstimator(),
)
WHERE = "valuation.estimator"
METHODS = {"plan": ("n", "budget", "seed"), "estimate": ("plan", "table", "semivalue")}
"""What an estimator can do, with the parameters."""
ESTIMATORS: Mapping[str, Estimator] = WithShapiq({kind.name: kind for kind in _ALL})


def estimate(plan: Plan, table: Floats, semivalue: Floats | None = None) -> Estimate:
    """Values from utilities, by the estimator that made the plan.

    table: utilities of the empty coalition, of the plan's coalitions in their order, and of the
    full coalition `(m + 2,)`; semivalue: weight of each coalition size `(n,)`, by default
    Shapley's. Raises `InputError` for a table that does not fit the plan or is not finite, and for
    a semivalue that the estimator cannot give.
    """
    table = np.asarray(table, dtype=np.float64)
    check_table(plan, table)
    weights = shapley(plan.n) if semivalue is None else np.asarray(semivalue, dtype=np.float64)
    if weights.shape != (plan.n,) or not np.isfinite(weights).all():
        raise InputError(
            f"a semivalue of shape {weights.shape} for {plan.n} providers",
            expected=f"{plan.n} finite weights, of the sizes 0 … {plan.n - 1}",
        )
    with one_thread():
        return _find_estimator(plan.estimator).estimate(plan, table, weights)


def make_plan(estimator: str, n: int, budget: int, seed: int) -> Plan:
    """The coalitions to measure; if the budget covers all of them, values are exact.

    `auto`: exact where the budget covers all coalitions, else the Gaussian process, which had the
    smallest errors in our benchmarks (benchmarks/README.md). Raises `InputError` for an estimator
    that does not exist, or that needs a larger budget.
    """
    if n < 2:
        raise InputError(f"{n} provider: there is nothing to share out", expected="at least 2")
    kind = ESTIMATORS["gaussian_process"] if estimator == "auto" else _find_estimator(estimator)
    if 2**n - 2 <= budget:
        kind = ESTIMATORS["exact"]
    plan = kind.plan(n, budget, seed)
    own = kind not in ESTIMATORS.values() and not estimator.startswith(PREFIX)
    return replace(plan, estimator=estimator) if own else plan


def _find_estimator(name: str) -> Estimator:
    """Built in, one of shapiq's, installed, or 'package.module:Class'."""
    if name.startswith(PREFIX):
        return ESTIMATORS[name]
    target = find(name, ESTIMATORS, "estimator", WHERE)
    if target in ESTIMATORS.values():
        return target
    return _own_estimator(name, target)


def _own_estimator(name: str, target: Any) -> Estimator:
    """An instance of the user's own class, or what was named if it is one already."""
    try:
        estimator = target() if isinstance(target, type) else target
    except TypeError as error:
        raise InputError(
            f"estimator {name!r} cannot be made: {error}",
            where=WHERE,
            expected="a class that takes no arguments, or an instance",
        ) from None
    for method, parameters in METHODS.items():
        function = getattr(estimator, method, None)
        if not callable(function):
            raise InputError(
                f"estimator {name!r} has no method {method}",
                where=WHERE,
                expected=", ".join(f"{m}({', '.join(p)})" for m, p in METHODS.items()),
                do="see CONTRIBUTING.md, or unshapley.estimators.base.Estimator",
            )
        check_parameters_of(function, parameters, f"{name}.{method}", WHERE)
    own: Estimator = estimator
    return own


__all__ = [
    "CORRECTION",
    "ESTIMATORS",
    "SAMPLING",
    "TEST_SET",
    "Estimate",
    "Estimator",
    "Plan",
    "estimate",
    "make_plan",
]
