"""Utilities of coalitions that were not measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unshapley.estimators.base import Floats, Plan, check_table
from unshapley.estimators.gaussian_process import HELD
from unshapley.estimators.posterior import posterior
from unshapley.game.coalitions import Coalitions, everybody, nobody, positions
from unshapley.numerics import one_thread

BLOCK = 512
"""Coalitions that are predicted at a time."""


@one_thread()
def completed(
    plan: Plan, table: Floats, coalitions: Coalitions
) -> tuple[Floats, NDArray[np.bool_]]:
    """Utility of each coalition `(k, n)`, and whether it was measured, `(k,)` each.

    A coalition that was not measured gets the posterior mean of the Gaussian process, whichever
    estimator made the plan. table: utilities of the empty coalition, the plan's coalitions, the
    full coalition `(m + 2,)`.
    """
    check_table(plan, table)
    every = np.vstack([nobody(plan.n), plan.coalitions, everybody(plan.n)])
    at = positions(coalitions, every)
    measured = at >= 0
    utilities = np.where(measured, table[at], np.nan)
    if not measured.all():
        utilities[~measured] = _predicted(plan, table, coalitions[~measured])
    return utilities, measured


def _predicted(plan: Plan, table: Floats, coalitions: Coalitions) -> Floats:
    x = plan.coalitions[:HELD]
    utilities = table[1 : len(x) + 1]
    fitted = posterior(x, utilities)
    weights = fitted.scale * fitted.solve(fitted.residual)
    parts = [
        fitted.kernel.gram(coalitions[start : start + BLOCK], x) @ weights
        for start in range(0, len(coalitions), BLOCK)
    ]
    out: Floats = np.concatenate(parts) + utilities.mean()
    return out
