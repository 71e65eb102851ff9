"""Shapley values from antithetic permutations that share one memo of coalitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from unshapley.coalitions import from_masks
from unshapley.errors import InputError
from unshapley.estimators.base import Estimate, Floats, Plan


class PermutationEstimator:
    """Mean marginal contribution over random orders, each with its reverse.

    Castro, Gómez, Tejada, "Polynomial calculation of the Shapley value based on sampling" (2009);
    antithetic pairs after Mitchell et al., "Sampling Permutations for Shapley Value Estimation"
    (JMLR 2022), section 4. The pairs are independent draws, so the standard error is that of their
    mean, and the interval Student's t over pairs. A coalition met twice is measured once.
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
        everything = min(2**n - 2, budget) if n < 60 else budget
        order: dict[int, None] = {}
        permutations: list[NDArray[np.int64]] = []
        # small games run out of coalitions before the budget is spent; the pairs then end it
        while len(order) < everything and len(permutations) < 2 * budget:
            one = rng.permutation(n)
            pair = [one, one[::-1]]
            fresh = [m for p in pair for m in prefix_masks(p) if m not in order]
            if len(order) + len(set(fresh)) > budget:
                break
            order.update(dict.fromkeys(fresh))
            permutations += pair
        return Plan(
            self.name,
            from_masks(order, n),
            np.array(permutations, dtype=np.int64),
            f"{len(permutations) // 2} antithetic pairs fit into the budget of {budget}",
        )

    def estimate(self, plan: Plan, utilities: Mapping[int, float], n: int) -> Estimate:
        full = (1 << n) - 1
        gains = np.empty((len(plan.permutations), n))
        met: set[int] = set()
        measured = []
        for k, permutation in enumerate(plan.permutations):
            masks = prefix_masks(permutation)
            met.update(masks)
            measured.append(len(met))
            gains[k] = np.diff([utilities[m] for m in [0, *masks, full]])
        pairs = pair_means(gains, plan.permutations)
        count = np.arange(1, len(pairs) + 1)
        value = pairs.mean(axis=0)
        # the control variate was fitted on the same pairs, which uses up about one more of them
        std_error = pairs.std(axis=0, ddof=1) / np.sqrt(len(pairs) - 1)
        half = stats.t.ppf(0.975, len(pairs) - 1) * std_error
        history = pairs.cumsum(axis=0) / count[:, None]
        return Estimate(
            value, std_error, value - half, value + half, history, np.array(measured[1::2])
        )


def pair_means(gains: Floats, permutations: NDArray[np.int64]) -> Floats:
    """Contribution of every provider, a row an antithetic pair `(pairs, n)`.

    gains: by position in the permutation `(k, n)`. The mean gain of each position is a control
    variate: it is what a game gives that knows only how many stay, whose values are all equal. Each
    row still sums to U(all) − U(none).
    """
    total = gains[0].sum()
    n = gains.shape[1]
    adjusted = gains - gains.mean(axis=0) + total / n
    contributions = np.empty_like(gains)
    np.put_along_axis(contributions, permutations, adjusted, axis=1)
    pairs: Floats = contributions.reshape(-1, 2, n).mean(axis=1)
    return pairs


def prefix_masks(permutation: NDArray[np.int64]) -> list[int]:
    """Masks of the coalitions that a permutation passes between nobody and everybody."""
    masks, mask = [], 0
    for provider in permutation.tolist()[:-1]:
        mask |= 1 << provider
        masks.append(mask)
    return masks
