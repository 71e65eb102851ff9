"""Values from mean utilities of strata: coalitions of one size with, or without, a provider."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from unshapley.estimators.base import Estimate, Floats, Plan, check_budget, is_shapley
from unshapley.estimators.linear import PER_PROVIDER, efficient, linear_estimate
from unshapley.estimators.sampling import in_turn
from unshapley.game.coalitions import Coalitions


class StratumEstimator:
    """φ_i = Σ_s w[s] · (mean U(T) over T ∋ i of size s + 1 − mean U(T) over T ∌ i of size s).

    Every measured coalition is used for all n providers. Within a size coalitions are uniform, so
    each mean is unbiased. An empty stratum takes the mean over all coalitions of its size, as if
    the provider were an average one. Shapley values are made to sum to U(all) − U(none)
    (`linear.efficient`). The covariance is by the delete-group jackknife
    (`linear.jackknife`). Any semivalue w.
    """

    name: ClassVar[str]
    unit: ClassVar[int] = 1

    def plan(self, n: int, budget: int, seed: int) -> Plan:
        check_budget(budget, PER_PROVIDER * n, n)
        count = min(budget, 2**n - 2)
        coalitions = self._draw(n, count - count % self.unit, np.random.default_rng(seed))
        reason = f"{len(coalitions)} coalitions, sizes in turn, fit into the budget of {budget}"
        return Plan(self.name, coalitions, reason)

    def estimate(self, plan: Plan, table: Floats, semivalue: Floats) -> Estimate:
        def operator_of(coalitions: Coalitions) -> Floats:
            operator = stratified(coalitions, semivalue)
            return efficient(operator) if is_shapley(semivalue) else operator

        return linear_estimate(plan, table, operator_of, self.unit)

    def _draw(self, n: int, count: int, rng: np.random.Generator) -> Coalitions:
        raise NotImplementedError


class StratifiedEstimator(StratumEstimator):
    """Stratified sampling: `StratumEstimator` on coalitions with about equal numbers per size.

    Castro, Gómez, Molina, Tejada, "Improving polynomial estimation of the Shapley value by
    stratified random sampling with optimum allocation" (2017), section 3: strata by provider and
    position, with equal numbers of samples. There marginal contributions are sampled for each
    provider separately; here coalitions are sampled, and each is used for all providers.
    """

    name: ClassVar[str] = "stratified"

    def _draw(self, n: int, count: int, rng: np.random.Generator) -> Coalitions:
        return in_turn(n, count, rng, low=1, pairs=False)


class SvarmEstimator(StratumEstimator):
    """Stratified SVARM: `StratumEstimator` with sizes 1 and n − 1 measured in full.

    Kolpaczki, Bengs, Muschalik, Hüllermeier, "Approximating the Shapley value without marginal
    contributions" (AAAI 2024), algorithm 2: border sizes exactly, then one coalition at a time that
    updates the strata of all providers. There a warm-up measures each stratum once, and sizes are
    drawn at random; here an empty stratum takes the mean of its size, and sizes take turns.
    """

    name: ClassVar[str] = "svarm"

    def _draw(self, n: int, count: int, rng: np.random.Generator) -> Coalitions:
        single = np.eye(n, dtype=bool)
        border = np.vstack([single, ~single]) if n > 2 else single
        interior = in_turn(n, count - len(border), rng, low=2, pairs=False)
        return np.vstack([border, interior])[:count]


class ComplementaryEstimator(StratumEstimator):
    """Complementary contributions: `StratumEstimator` on coalitions with their complements.

    φ_i = 1/n · Σ_s mean of U(S) − U(N∖S) over S ∋ i of size s: Zhang, Sun, Liu, Xiong, Pei, Ren,
    "Efficient sampling approaches to Shapley value approximation" (SIGMOD 2023), theorem 1. As N∖S
    has size n − s and is without i, these are means over strata, in pairs.
    """

    name: ClassVar[str] = "complementary_contributions"
    unit: ClassVar[int] = 2

    def _draw(self, n: int, count: int, rng: np.random.Generator) -> Coalitions:
        return in_turn(n, count, rng, low=1, pairs=True)


def stratified(coalitions: Coalitions, semivalue: Floats) -> Floats:
    """The formula of `StratumEstimator` as a matrix `(n, m + 2)`."""
    m, n = coalitions.shape
    size = np.concatenate([[0], coalitions.sum(axis=1), [n]])
    mean_of_size = _pooled(size, n)
    member = np.append(0.0, semivalue)  # weights by size, for coalitions with the provider
    other = np.append(semivalue, 0.0)
    operator = np.zeros((n, m + 2))
    operator[:, 0], operator[:, -1] = -semivalue[0], semivalue[-1]
    for s in range(1, n):
        columns = np.flatnonzero(size[1:-1] == s)
        for included, weight in (
            (coalitions[columns].T, member[s]),
            (~coalitions[columns].T, -other[s]),
        ):
            count = included.sum(axis=1)
            operator[:, columns + 1] += weight * included / np.maximum(count, 1)[:, None]
            operator[count == 0] += weight * mean_of_size[s]
    return operator


def _pooled(size: np.ndarray, n: int) -> Floats:
    """Matrix of means over each size 0 … n `(n + 1, m + 2)`; missing sizes are interpolated."""
    measured = np.unique(size)
    mean = (size == measured[:, None]).astype(np.float64)
    mean /= mean.sum(axis=1, keepdims=True)
    interpolation = np.array(
        [np.interp(np.arange(n + 1), measured, unit) for unit in np.eye(len(measured))]
    )
    out: Floats = interpolation.T @ mean
    return out
