"""A Gaussian process on the first coalitions, corrected by permutations on the others."""

from __future__ import annotations

import numpy as np

from unshapley.estimators.base import SAMPLING, Estimate, Floats, Plan
from unshapley.estimators.permutations import PermutationEstimator, mean_operator
from unshapley.estimators.posterior import Posterior, posterior
from unshapley.game.coalitions import Coalitions

BLOCK = 1024


def adjusted(held: int, plan: Plan, table: Floats, semivalue: Floats) -> Estimate:
    """Shapley values from a Gaussian process on the first `held` coalitions, plus those of its
    residuals on the other coalitions, estimated by antithetic permutations.

    The process is a control variate, so the estimate of the residuals' values is unbiased
    (regression adjustment: Witter et al., "Regression-adjusted Monte Carlo estimators", 2025). The
    process alone and the corrected estimate are weighted by inverse variance.
    """
    fitted = posterior(plan.coalitions[:held], table[1 : held + 1])
    process = fitted.estimate(np.append(table[: held + 1], table[-1]), semivalue)
    assert process.operator is not None
    operator = mean_operator(plan)
    residual, residual_operator = _residual(
        fitted, plan.coalitions[held:], table, operator[:, held + 1 : -1]
    )
    residual_table = np.concatenate([np.zeros(held + 1), residual, [0.0]])
    correction = PermutationEstimator().estimate(plan, residual_table, semivalue, operator)
    variances = [float(np.trace(e.errors[SAMPLING])) for e in (process, correction)]
    share = variances[0] / sum(variances) if sum(variances) > 0 else 0.0
    error = (1 - share) ** 2 * process.errors[SAMPLING] + share**2 * correction.errors[SAMPLING]
    operator *= share
    operator[:, : held + 1] = process.operator[:, :-1]
    operator[:, -1] = process.operator[:, -1]
    operator[:, 1 : held + 1] += share * residual_operator
    value = process.value + share * correction.value
    history = np.vstack([process.history, value])
    measured = np.append(process.measured, len(plan.coalitions))
    return Estimate(value, {SAMPLING: error}, history, measured, operator)


def _residual(
    fitted: Posterior, others: Coalitions, table: Floats, operator: Floats
) -> tuple[Floats, Floats]:
    """Residuals of the process on the other coalitions `(m − held,)`, and the matrix `(n, held)`
    by which `operator` @ residuals depends on the utilities of the held coalitions.

    operator: `(n, m − held)`.
    """
    held = len(fitted.coalitions)
    level = float(table[1 : held + 1].mean())
    weights = fitted.scale * fitted.solve(fitted.residual)
    residual, cross = table[held + 1 : -1] - level, np.zeros((len(operator), held))
    for begin in range(0, len(others), BLOCK):
        block = slice(begin, begin + BLOCK)
        covariance = fitted.kernel.gram(others[block], fitted.coalitions)
        residual[block] -= covariance @ weights
        cross += operator[:, block] @ covariance
    residual_operator = -fitted.solve(cross.T).T
    # the level subtracted above is the mean of the held utilities
    residual_operator -= ((residual_operator.sum(axis=1) + operator.sum(axis=1)) / held)[:, None]
    return residual, residual_operator
