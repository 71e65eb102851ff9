"""Values from antithetic permutations that share one memo of coalitions."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from unshapley.errors import InputError
from unshapley.estimators.base import SAMPLING, Estimate, Floats, Plan, check_shapley
from unshapley.estimators.orders import keyed, paths_of

HISTORY = 60


class PermutationEstimator:
    """Mean marginal contribution over random orders, each with its reverse.

    Castro, Gómez, Tejada, "Polynomial calculation of the Shapley value based on sampling" (2009);
    antithetic pairs after Mitchell et al., "Sampling Permutations for Shapley Value Estimation"
    (JMLR 2022), section 4. The pairs are independent draws, so the standard error is that of their
    mean, and the interval Student's t over pairs. A coalition met twice is measured once. Gives
    Shapley values only.
    """

    name: ClassVar[str] = "permutations"

    def plan(self, n: int, budget: int, seed: int) -> Plan:
        needed = 4 * (n - 1)
        if budget < needed:
            raise InputError(
                f"{budget} coalitions are too few for values of {n} providers with standard errors",
                where="valuation.budget",
                expected=f"at least {needed}: two antithetic pairs",
                do="raise the budget",
            )
        rng = np.random.default_rng(seed)
        met: dict[bytes, NDArray[np.bool_]] = {}
        permutations: list[NDArray[np.int64]] = []
        while len(met) < 2**n - 2:
            one = rng.permutation(n)
            fresh = dict(keyed(one)) | dict(keyed(one[::-1]))
            if len(met.keys() | fresh.keys()) > budget:
                break
            met |= {key: stays for key, stays in fresh.items() if key not in met}
            permutations += [one, one[::-1]]
        reason = f"{len(permutations) // 2} antithetic pairs fit into the budget of {budget}"
        return Plan(self.name, np.array(list(met.values())), reason, np.array(permutations))

    def estimate(self, plan: Plan, table: Floats, semivalue: Floats) -> Estimate:
        n, k = plan.n, len(plan.permutations)
        check_shapley(self.name, semivalue)
        paths = paths_of(plan)
        gains = np.diff(table[paths], axis=1)
        pairs = contributions(gains, plan.permutations)
        covariance = np.cov(pairs, rowvar=False).reshape(n, n) / len(pairs)
        steps = np.unique(np.linspace(2, len(pairs), min(len(pairs) - 1, HISTORY)).astype(int))
        history = [contributions(gains[: 2 * i], plan.permutations[: 2 * i]) for i in steps]
        met = np.maximum.accumulate(paths[:, :-1].max(axis=1))
        operator = _operator(paths, plan.permutations, len(table))
        return Estimate(
            pairs.mean(axis=0),
            {SAMPLING: covariance},
            np.array([h.mean(axis=0) for h in history]),
            met[2 * steps - 1],
            operator,
            float(stats.t.ppf(0.975, k // 2 - 1)),
        )


def contributions(gains: Floats, permutations: NDArray[np.int64]) -> Floats:
    """Contribution of every provider, a row an antithetic pair `(pairs, n)`.

    gains: by position in the permutation `(k, n)`. From each the mean gain of its position *in the
    other pairs* is taken: a control variate, what a game gives that knows only how many stay, whose
    values are all equal. Each row still sums to U(all) − U(none), and no pair corrects itself, so
    the mean is unbiased.
    """
    n = gains.shape[1]
    pairs = gains.reshape(-1, 2, n)
    total = gains[0].sum()
    others = (gains.sum(axis=0) - pairs.sum(axis=1)) / (len(gains) - 2)
    adjusted = (pairs - others[:, None] + total / n).reshape(-1, n)
    placed = np.empty_like(gains)
    np.put_along_axis(placed, permutations, adjusted, axis=1)
    out: Floats = placed.reshape(-1, 2, n).mean(axis=1)
    return out


def _operator(paths: NDArray[np.int64], permutations: NDArray[np.int64], columns: int) -> Floats:
    """The mean of `contributions` as a matrix `(n, columns)`: which position a provider stands at
    matters only where all pairs differ in it, so the control variate is a weighted mean too.
    """
    k, n = permutations.shape
    share = np.zeros((n, n))  # of the permutations that have provider i at position j
    np.add.at(share, (permutations, np.arange(n)), 1 / k)
    out = np.zeros((n, columns))
    for path, permutation in zip(paths, permutations, strict=True):
        np.add.at(out, (permutation, path[1:]), 1 / k)
        np.add.at(out, (permutation, path[:-1]), -1 / k)
    # Σ over pairs of (mean over all others) = (k · mean of the position − own pair) / (k − 2)
    by_position = np.zeros((n, columns))
    for path in paths:
        np.add.at(by_position, (np.arange(n), path[1:]), 1 / k)
        np.add.at(by_position, (np.arange(n), path[:-1]), -1 / k)
    own = np.zeros((n, columns))
    for a, b, one, two in zip(
        permutations[::2], permutations[1::2], paths[::2], paths[1::2], strict=True
    ):
        for position_of in (a, b):
            # at that position the pair's two gains are taken from the sum of all
            for path in (one, two):
                np.add.at(own, (position_of, path[1:]), 1 / k)
                np.add.at(own, (position_of, path[:-1]), -1 / k)
    control = (k * (share @ by_position) - own) / (k - 2)
    level = np.zeros(columns)
    level[0], level[-1] = -1 / n, 1 / n
    operator: Floats = out - control + level
    return operator
