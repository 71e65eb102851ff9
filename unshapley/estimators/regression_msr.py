"""Exact values of a proxy, plus those of its residuals by maximum sample reuse."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from unshapley.estimators.base import SAMPLING, Estimate, Floats, Plan
from unshapley.estimators.linear import history_steps, jackknife, table_of_first
from unshapley.estimators.msr import check_reach, mixed_plan, sample_reuse, size_weights
from unshapley.estimators.proxies import Fit, fit_linear, fit_trees
from unshapley.estimators.sampling import inclusion, mixed_weights
from unshapley.game.coalitions import Coalitions

FOLDS = 5


class AdjustedEstimator:
    """φ = mean over folds of φ(f_k) + MSR of U − f_k(S), f_k fitted without the fold that has S.

    Witter, Liu, Musco, "Regression-adjusted Monte Carlo estimators for Shapley values and
    probabilistic values" (2025), algorithm 1. Pairs are assigned to five folds; a proxy is fitted
    to the other folds, where S is weighted by its weight in the semivalue / its probability of
    being measured. Its values are exact, and `msr.sample_reuse` gives those of the residuals. No
    proxy is fitted to the coalitions of its residuals, so residuals are not biased towards zero.
    Shapley values sum to U(all) − U(none), as those of MSR do. The covariance is that of MSR on the
    residuals, by the delete-group jackknife with fixed proxies. It has no finite-population factor:
    the assignment to folds stays random, so values are not exact even from all coalitions. Any
    semivalue.
    """

    name: ClassVar[str]
    fit: Fit

    def plan(self, n: int, budget: int, seed: int) -> Plan:
        return mixed_plan(self.name, n, budget, seed)

    def estimate(self, plan: Plan, table: Floats, semivalue: Floats) -> Estimate:
        check_reach(self.name, plan.coalitions, semivalue)
        fit = type(self).fit
        value, residual = adjusted(plan.coalitions, table[:, None], semivalue, fit)
        steps = history_steps(plan.n, len(plan.coalitions), unit=2)
        history = []
        for k in steps[:-1]:
            columns = table_of_first(table, k)[:, None]
            history.append(adjusted(plan.coalitions[:k], columns, semivalue, fit)[0][:, 0])
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
    """`AdjustedEstimator` with boosted trees, whose semivalues have a closed form
    (`proxies.tree_semivalue`). Not linear in the utilities, so without an operator.
    """

    name: ClassVar[str] = "tree_msr"
    fit = staticmethod(fit_trees)


def adjusted(
    coalitions: Coalitions, tables: Floats, semivalue: Floats, fit: Fit
) -> tuple[Floats, Floats]:
    """Values `(n, c)` from c tables of utilities `(m + 2, c)`, and the proxies' residuals."""
    m, n = coalitions.shape
    ends = np.array([[False], [True]]).repeat(n, axis=1)
    weight = _weights(coalitions, semivalue)
    fold = np.arange(m) // 2 % FOLDS
    exact = np.zeros((n, tables.shape[1]))
    residual = tables.astype(np.float64)
    for k in range(FOLDS):
        inside, share = fold == k, float(np.mean(fold == k))
        proxy = fit(coalitions[~inside], tables[1:-1][~inside], weight[~inside])
        exact += share * proxy.semivalue(semivalue)
        residual[1:-1][inside] -= proxy.predict(coalitions[inside])
        residual[[0, -1]] -= share * proxy.predict(ends)
    return exact + sample_reuse(coalitions, semivalue) @ residual, residual


def _weights(coalitions: Coalitions, semivalue: Floats) -> Floats:
    """Weights in the semivalue / probability; for Shapley values, the weights are the kernel."""
    size = coalitions.sum(axis=1)
    inside, outside = size_weights(semivalue)
    probability = inclusion(coalitions.shape[1], len(coalitions), mixed_weights)
    out: Floats = (inside + outside)[size] / probability[size - 1]
    return out
