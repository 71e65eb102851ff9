"""More coalitions than a Gaussian process can hold: it proposes, permutations adjust."""

from __future__ import annotations

import numpy as np

from unshapley.estimators.base import SAMPLING, Estimate, Floats, Plan
from unshapley.estimators.permutations import PermutationEstimator, mean_operator
from unshapley.estimators.posterior import Posterior, posterior
from unshapley.game.coalitions import Coalitions

BLOCK = 1024


def adjusted(held: int, plan: Plan, table: Floats, semivalue: Floats) -> Estimate:
    """Shapley values from a process over the first `held` coalitions, and antithetic permutations
    of the residual game: what the process misses of all others.

    The process is a control variate, so the permutations' estimate of what it misses is unbiased
    (regression adjustment: Witter et al., "Regression-adjusted Monte Carlo estimators", 2025). Each
    counts for the inverse of its variance.
    """
    fitted = posterior(plan.coalitions[:held], table[1 : held + 1])
    proposed = fitted.estimate(np.append(table[: held + 1], table[-1]), semivalue)
    assert proposed.operator is not None
    operator = mean_operator(plan)
    residual, through = _residual(fitted, plan.coalitions[held:], table, operator[:, held + 1 : -1])
    ended = np.concatenate([np.zeros(held + 1), residual, [0.0]])
    missed = PermutationEstimator().estimate(plan, ended, semivalue, operator)
    own, theirs = (float(np.trace(e.errors[SAMPLING])) for e in (proposed, missed))
    share = own / (own + theirs) if own + theirs > 0 else 0.0
    error = (1 - share) ** 2 * proposed.errors[SAMPLING] + share**2 * missed.errors[SAMPLING]
    operator *= share
    operator[:, : held + 1] = proposed.operator[:, :-1]
    operator[:, -1] = proposed.operator[:, -1]
    operator[:, 1 : held + 1] += share * through
    value = proposed.value + share * missed.value
    history = np.vstack([proposed.history, value])
    measured = np.append(proposed.measured, len(plan.coalitions))
    return Estimate(value, {SAMPLING: error}, history, measured, operator)


def _residual(
    fitted: Posterior, others: Coalitions, table: Floats, operator: Floats
) -> tuple[Floats, Floats]:
    """What the process misses of other coalitions `(m − held,)`, and what `operator` of that,
    `(n, m − held)`, is of the utilities held `(n, held)`.
    """
    held = len(fitted.coalitions)
    level = float(table[1 : held + 1].mean())
    weights = fitted.scale * fitted.solve(fitted.residual)
    missed, seen = table[held + 1 : -1] - level, np.zeros((len(operator), held))
    for begin in range(0, len(others), BLOCK):
        part = slice(begin, begin + BLOCK)
        covariance = fitted.kernel.gram(others[part], fitted.coalitions)
        missed[part] -= covariance @ weights
        seen += operator[:, part] @ covariance
    through = -fitted.solve(seen.T).T
    # the level that is taken off is the mean of what is held
    through -= ((through.sum(axis=1) + operator.sum(axis=1)) / held)[:, None]
    return missed, through
