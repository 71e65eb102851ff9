"""More coalitions than a Gaussian process can hold: it proposes, the others adjust."""

from __future__ import annotations

import numpy as np
from scipy import special

from unshapley.coalitions import Coalitions
from unshapley.estimators.base import SAMPLING, Estimate, Floats
from unshapley.estimators.linear import jackknife
from unshapley.estimators.posterior import Posterior
from unshapley.estimators.regression import constrained_regression
from unshapley.estimators.sampling import inclusion, kernel_weights

BLOCK = 4096


def adjusted(held: int, coalitions: Coalitions, table: Floats, semivalue: Floats) -> Estimate:
    """Shapley values from a process over the first `held` coalitions and a regression of what it
    misses of all others `(m − held, n)`.

    Of what it holds it misses nothing; the others are a sample of the rest, from which weighted
    least squares estimates the values of the residual game (regression adjustment: Witter et al.,
    "Regression-adjusted Monte Carlo estimators", 2025). Both are weighed by their variances.
    """
    first, others = coalitions[:held], coalitions[held:]
    fitted = Posterior(first, table[1 : held + 1])
    proposed = fitted.estimate(np.append(table[: held + 1], table[-1]), semivalue)
    assert proposed.operator is not None
    regression = _regression(first, others, len(others))[:, 1:-1]
    residual, through = _residual(fitted, others, table, regression)
    ended = np.concatenate([[0.0], residual, [0.0]])
    missed_error, _ = jackknife(
        others, ended, lambda some: _regression(first, some, len(others)), unit=2
    )
    own, missed = np.trace(proposed.errors[SAMPLING]), np.trace(missed_error)
    share = float(own / (own + missed)) if own + missed > 0 else 0.0
    error = (1 - share) ** 2 * proposed.errors[SAMPLING] + share**2 * missed_error
    operator = np.hstack([proposed.operator[:, :-1], share * regression, proposed.operator[:, -1:]])
    operator[:, 1 : held + 1] += share * through
    value = proposed.value + share * (regression @ residual)
    history = np.vstack([proposed.history, value])
    measured = np.append(proposed.measured, len(coalitions))
    return Estimate(value, {SAMPLING: error}, history, measured, operator)


def _regression(first: Coalitions, others: Coalitions, drawn: int) -> Floats:
    """The values of a game that is zero on `first`, of its utilities on `others` `(n, others + 2)`.

    drawn: how many were drawn of what is not in `first`, whichever of them are left.
    """
    held, n = first.shape
    kernel = kernel_weights(n) / special.binom(n, np.arange(1, n))
    before, after = inclusion(n, held, kernel_weights), inclusion(n, held + drawn, kernel_weights)
    # probability of being drawn later, of a coalition that is not held
    later = np.clip((after - before) / np.clip(1 - before, 1e-12, None), 1e-12, 1.0)
    size, other_size = first.sum(axis=1), others.sum(axis=1)
    weight = np.concatenate([kernel[size - 1], (kernel / later)[other_size - 1]])
    operator = constrained_regression(np.vstack([first, others]), weight)
    out: Floats = np.hstack([operator[:, :1], operator[:, held + 1 :]])
    return out


def _residual(
    fitted: Posterior, others: Coalitions, table: Floats, regression: Floats
) -> tuple[Floats, Floats]:
    """What the process misses of other coalitions `(m − held,)`, and how the regression of it
    depends on the utilities that it holds `(n, held)`.
    """
    held = len(fitted.coalitions)
    level = float(table[1 : held + 1].mean())
    utilities = table[held + 1 : -1]
    weights = fitted.scale * fitted.solve(fitted.residual)
    residual, seen = np.empty(len(others)), np.zeros((len(regression), held))
    for begin in range(0, len(others), BLOCK):
        part = slice(begin, begin + BLOCK)
        covariance = fitted.kernel.gram(others[part], fitted.coalitions)
        residual[part] = utilities[part] - level - covariance @ weights
        seen += regression[:, part] @ covariance
    through = -fitted.solve(seen.T).T
    # the level that is taken off is the mean of what is held
    through -= ((through.sum(axis=1) + regression.sum(axis=1)) / held)[:, None]
    return residual, through
