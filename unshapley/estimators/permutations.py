"""Values from antithetic permutations; each coalition is measured once."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from unshapley.estimators.base import SAMPLING, Estimate, Floats, Plan, check_budget, check_shapley
from unshapley.estimators.orders import keyed, paths_of
from unshapley.game.coalitions import Coalitions

HISTORY = 60
PAIRS = 2
"""Fewest antithetic pairs: their spread gives the standard error."""
RIDGE = 1e-9


class PermutationEstimator:
    """Mean marginal contribution over random orders, each with its reverse.

    Castro, Gómez, Tejada, "Polynomial calculation of the Shapley value based on sampling" (2009);
    antithetic pairs after Mitchell et al., "Sampling Permutations for Shapley Value Estimation"
    (JMLR 2022), section 4. What a gain owes to its position is a control variate, told from what it
    owes to the provider by least squares (`contributions`): games that depend on the size only, and
    additive ones, are exact. The standard error is that of a mean over pairs, with the degrees of
    freedom of the control variate taken off, and the interval Student's t over pairs. A coalition
    that occurs twice is measured once. Gives Shapley values only.
    """

    name: ClassVar[str] = "permutations"

    def plan(self, n: int, budget: int, seed: int) -> Plan:
        check_budget(budget, PAIRS * 2 * (n - 1), n)
        coalitions, permutations = antithetic(n, budget, seed, np.empty((0, n), dtype=bool))
        reason = f"{len(permutations) // 2} antithetic pairs fit into the budget of {budget}"
        return Plan(self.name, coalitions, reason, permutations)

    def estimate(
        self, plan: Plan, table: Floats, semivalue: Floats, operator: Floats | None = None
    ) -> Estimate:
        """operator: `mean_operator` of the plan, if it is computed already."""
        n, k = plan.n, len(plan.permutations)
        check_shapley(self.name, semivalue)
        paths = paths_of(plan)
        gains = np.diff(table[paths], axis=1)
        pairs = contributions(gains, plan.permutations)
        covariance = np.cov(pairs, rowvar=False).reshape(n, n) / len(pairs)
        free = (len(pairs) - 1) * (n - 1)
        covariance *= free / max(free - (n + 1) // 2 + 1, 1)
        steps = np.unique(np.linspace(2, len(pairs), min(len(pairs) - 1, HISTORY)).astype(int))
        history = [contributions(gains[: 2 * i], plan.permutations[: 2 * i]) for i in steps]
        measured = np.maximum.accumulate(paths[:, :-1].max(axis=1))
        if operator is None:
            operator = mean_operator(plan)
        return Estimate(
            pairs.mean(axis=0),
            {SAMPLING: covariance},
            np.array([h.mean(axis=0) for h in history]),
            measured[2 * steps - 1],
            operator,
            float(special.stdtrit(k // 2 - 1, 0.975)),
        )


def antithetic(
    n: int, budget: int, seed: int, known: Coalitions
) -> tuple[Coalitions, NDArray[np.int64]]:
    """As many pairs of a random order and its reverse `(k, n)` as fit into the budget, and their
    prefixes as coalitions, appended to `known`.
    """
    rng = np.random.default_rng(seed)
    keys = np.packbits(known, axis=1)
    coalitions = {key.tobytes(): coalition for key, coalition in zip(keys, known, strict=True)}
    permutations: list[NDArray[np.int64]] = []
    while len(coalitions) < 2**n - 2:
        order = rng.permutation(n)
        passed = dict(keyed(order)) | dict(keyed(order[::-1]))
        new = {key: coalition for key, coalition in passed.items() if key not in coalitions}
        if len(coalitions) + len(new) > budget:
            break
        coalitions |= new
        permutations += [order, order[::-1]]
    orders = np.array(permutations, dtype=np.int64).reshape(-1, n)
    return np.array(list(coalitions.values())), orders


def contributions(gains: Floats, permutations: NDArray[np.int64]) -> Floats:
    """Marginal contribution of every provider, one row per antithetic pair `(pairs, n)`.

    gains: by position in the permutation `(k, n)`. From each gain the effect of its position is
    subtracted: a control variate, the game that depends on the size only, whose values are all
    equal. Gains are split into effects of provider and position by least squares, so that an
    effect of the provider is not taken for one of the positions that it happened to have. Each row
    sums to U(all) − U(none).
    """
    by_provider = np.empty_like(gains)
    np.put_along_axis(by_provider, permutations, gains, axis=1)
    at = _share_at(permutations)
    effect = _position_effects(at, gains.mean(axis=0) - at.T @ by_provider.mean(axis=0))
    np.put_along_axis(by_provider, permutations, gains - effect, axis=1)
    out: Floats = by_provider.reshape(len(gains) // 2, 2, -1).mean(axis=1)
    return out


def _share_at(permutations: NDArray[np.int64]) -> Floats:
    """Share of the permutations `(k, n)` that have provider i at position j `(n, n)`."""
    k, n = permutations.shape
    at = np.zeros((n, n))
    np.add.at(at, (permutations, np.arange(n)), 1 / k)
    return at


def _position_effects(at: Floats, excess: Floats) -> Floats:
    """Effects of the positions `(n, …)`, with mean 0, in gain = provider's effect + position's.

    excess: mean gain at each position less what the mean gains of the providers there make
    `(n, …)`. The normal equations without the providers' effects; a bit of ridge decides for these
    where few permutations cannot tell the two apart.
    """
    normal = (1 + RIDGE) * np.eye(len(at)) - at.T @ at
    effects = np.linalg.solve(normal, excess)
    out: Floats = effects - effects.mean(axis=0)
    return out


def mean_operator(plan: Plan) -> Floats:
    """The mean of `contributions` as a matrix on the table `(n, m + 2)`."""
    permutations, columns = plan.permutations, len(plan.coalitions) + 2
    k, n = permutations.shape
    by_provider, by_position = np.zeros((n, columns)), np.zeros((n, columns))
    for order, path in zip(permutations, paths_of(plan), strict=True):
        _add_gains(by_provider, order, path, 1 / k)
        _add_gains(by_position, np.arange(n), path, 1 / k)
    at = _share_at(permutations)
    by_position -= at.T @ by_provider
    by_provider -= at @ _position_effects(at, by_position)
    return by_provider


def _add_gains(
    operator: Floats, rows: NDArray[np.int64], path: NDArray[np.int64], weight: float
) -> None:
    """Add the gain of each step of a path, times `weight`, to the row of that step."""
    operator[rows, path[1:]] += weight
    operator[rows, path[:-1]] -= weight
