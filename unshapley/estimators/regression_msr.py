"""Values of a proxy, exactly, and of what it misses, by maximum sample reuse."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from unshapley.estimators.base import SAMPLING, Estimate, Floats, Plan
from unshapley.estimators.linear import first, history_steps, jackknife
from unshapley.estimators.msr import check_reach, mixed_plan, sample_reuse, size_weights
from unshapley.estimators.proxies import Fit, fit_linear, fit_trees
from unshapley.estimators.sampling import inclusion, mixed_weights
from unshapley.game.coalitions import Coalitions

FOLDS = 5


class AdjustedEstimator:
    """φ = mean over folds of φ(f_k) + MSR of U − f_k(S), f_k fitted without the fold that has S.

    Witter, Liu, Musco, "Regression-adjusted Monte Carlo estimators for Shapley values and
    probabilistic values" (2025), algorithm 1. Pairs are dealt out to five folds; a proxy is fitted
    on the other folds, by least squares with the weights of the semivalue over the probability that
    S is measured; its values are exact, and `msr.sample_reuse` gives those of the residuals. No
    residual is of a coalition its proxy saw, so it is not too small. Shapley values sum to
    U(all) − U(none), as those of MSR do. The covariance is that of MSR on the residuals, by the
    delete-group jackknife with the proxies held fixed, and not less as more of all coalitions are
    measured: which fold each falls into stays random, so even from all values are not exact. Any
    semivalue.
    """

    name: ClassVar[str]
    fit: Fit

    def plan(self, n: int, budget: int, seed: int) -> Plan:
        return mixed_plan(self.name, n, budget, seed)

    def estimate(self, plan: Plan, table: Floats, semivalue: Floats) -> Estimate:
        check_reach(self.name, plan.coalitions, semivalue)
        fit, columns = type(self).fit, table[:, None]
        value, residual = adjusted(plan.coalitions, columns, semivalue, fit)
        steps = history_steps(plan.n, len(plan.coalitions), unit=2)
        history = [
            adjusted(plan.coalitions[:k], first(table, k)[:, None], semivalue, fit)[0][:, 0]
            for k in steps[:-1]
        ]
        covariance, quantile = jackknife(
            plan.coalitions,
            residual[:, 0],
            lambda coalitions: sample_reuse(coalitions, semivalue),
            unit=2,
            finite=False,
        )
        return Estimate(
            value[:, 0],
            {SAMPLING: covariance},
            np.array([*history, value[:, 0]]),
            steps,
            self._operator(plan.coalitions, semivalue),
            quantile,
        )

    def _operator(self, coalitions: Coalitions, semivalue: Floats) -> Floats | None:
        return None


class RegressionMsrEstimator(AdjustedEstimator):
    """`AdjustedEstimator` with a linear proxy, whose values are its coefficients."""

    name: ClassVar[str] = "regression_msr"
    fit = staticmethod(fit_linear)

    def _operator(self, coalitions: Coalitions, semivalue: Floats) -> Floats:
        return adjusted(coalitions, np.eye(len(coalitions) + 2), semivalue, fit_linear)[0]


class TreeMsrEstimator(AdjustedEstimator):
    """`AdjustedEstimator` with boosted trees, whose leaves have values in closed form
    (`proxies.tree_semivalue`). Not linear in the utilities: no operator.
    """

    name: ClassVar[str] = "tree_msr"
    fit = staticmethod(fit_trees)


def adjusted(
    coalitions: Coalitions, tables: Floats, semivalue: Floats, fit: Fit
) -> tuple[Floats, Floats]:
    """Values `(n, c)` of c tables of utilities `(m + 2, c)`, and what the proxies miss of them."""
    m, n = coalitions.shape
    ends = np.array([[False], [True]]).repeat(n, axis=1)
    weight = _weights(coalitions, semivalue)
    fold = np.arange(m) // 2 % FOLDS
    exact = np.zeros((n, tables.shape[1]))
    missed = tables.astype(np.float64)
    for k in range(FOLDS):
        inside, share = fold == k, float(np.mean(fold == k))
        proxy = fit(coalitions[~inside], tables[1:-1][~inside], weight[~inside])
        exact += share * proxy.semivalue(semivalue)
        missed[1:-1][inside] -= proxy.predict(coalitions[inside])
        missed[[0, -1]] -= share * proxy.predict(ends)
    return exact + sample_reuse(coalitions, semivalue) @ missed, missed


def _weights(coalitions: Coalitions, semivalue: Floats) -> Floats:
    """What a coalition weighs in the semivalue over its probability: Shapley's is the kernel."""
    size = coalitions.sum(axis=1)
    inside, outside = size_weights(semivalue)
    probability = inclusion(coalitions.shape[1], len(coalitions), mixed_weights)
    out: Floats = (inside + outside)[size] / probability[size - 1]
    return out
