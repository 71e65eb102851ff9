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
        order: dict[int, None] = {}
        permutations: list[NDArray[np.int64]] = []
        while len(order) < 2**n - 2:
            one = rng.permutation(n)
            pair = [one, one[::-1]]
            fresh = {m for p in pair for m in prefix_masks(p) if m not in order}
            if len(order) + len(fresh) > budget:
                break
            order.update(dict.fromkeys(m for p in pair for m in prefix_masks(p)))
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
        pairs = contributions(gains, plan.permutations)
        value = pairs.mean(axis=0)
        std_error = pairs.std(axis=0, ddof=1) / np.sqrt(len(pairs))
        half = stats.t.ppf(0.975, len(pairs) - 1) * std_error
        # what the estimate was after so many pairs; a few dozen points draw the line
        steps = np.unique(np.linspace(2, len(pairs), min(len(pairs) - 1, 60)).astype(int))
        history = [contributions(gains[: 2 * k], plan.permutations[: 2 * k]) for k in steps]
        return Estimate(
            value,
            std_error,
            value - half,
            value + half,
            np.array([h.mean(axis=0) for h in history]),
            np.array(measured)[2 * steps - 1],
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


def prefix_masks(permutation: NDArray[np.int64]) -> list[int]:
    """Masks of the coalitions that a permutation passes between nobody and everybody."""
    masks, mask = [], 0
    for provider in permutation.tolist()[:-1]:
        mask |= 1 << provider
        masks.append(mask)
    return masks
