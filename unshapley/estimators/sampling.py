"""Coalitions in the order in which they are planned: a larger budget continues a smaller one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import comb

import numpy as np
from numpy.typing import NDArray

from unshapley.coalitions import Coalitions

Floats = NDArray[np.float64]
LISTED = 16
"""Up to so many providers all coalitions are listed and put in random order; above, they are drawn
one after the other, and what was drawn before is drawn again."""


def everything(n: int) -> Coalitions:
    """All coalitions but nobody and everybody `(2ⁿ − 2, n)`."""
    masks = np.arange(1, 2**n - 1)
    stays: Coalitions = (masks[:, None] >> np.arange(n) & 1).astype(bool)
    return stays


def kernel_weights(n: int) -> Floats:
    """Probability of each size 1 … n − 1 under the Shapley kernel, ∝ 1 / (s (n − s)) `(n − 1,)`
    (Lundberg, Lee 2017, theorem 2; Covert, Lee 2021, section 3).
    """
    size = np.arange(1, n)
    weights = 1 / (size * (n - size))
    out: Floats = weights / weights.sum()
    return out


def leverage_weights(n: int) -> Floats:
    """Every size 1 … n − 1 is as likely `(n − 1,)`: the leverage scores of the regression behind
    the Shapley value (Musco, Witter, "Provably accurate Shapley value estimation via leverage score
    sampling", ICLR 2025, lemma 3.2).
    """
    return np.full(n - 1, 1 / (n - 1))


def paired(n: int, count: int, seed: int, weights: Callable[[int], Floats]) -> Coalitions:
    """`count` distinct coalitions, each followed by its complement `(count, n)`.

    weights: probability of the sizes 1 … n − 1; without replacement. `count` is at most 2ⁿ − 2.
    """
    rng = np.random.default_rng(seed)
    if n <= LISTED:
        return _listed(n, rng, weights(n))[:count]
    return _distinct(_drawn_pairs(n, rng, weights(n)), n, count)


def _listed(n: int, rng: np.random.Generator, weights: Floats) -> Coalitions:
    """All coalitions in an order of drawing without replacement: exponential clocks with a rate of
    their probability ring in such an order (Efraimidis, Spirakis 2006).
    """
    half = everything(n)[: 2 ** (n - 1) - 1]  # those without the last provider: one of each pair
    size = half.sum(axis=1)
    per_size = weights / np.array([comb(n, s) for s in range(1, n)])
    rate = per_size[size - 1] + per_size[n - size - 1]
    order = np.argsort(rng.exponential(size=len(half)) / rate, kind="stable")
    both: Coalitions = np.stack([half[order], ~half[order]], axis=1).reshape(-1, n)
    return both


def _drawn_pairs(n: int, rng: np.random.Generator, weights: Floats) -> Iterator[NDArray[np.bool_]]:
    sizes = np.arange(1, n)
    while True:
        for size in rng.choice(sizes, size=256, p=weights):
            stays = np.zeros(n, dtype=bool)
            stays[rng.permutation(n)[:size]] = True
            yield stays
            yield ~stays


def _distinct(drawn: Iterator[NDArray[np.bool_]], n: int, count: int) -> Coalitions:
    found: dict[bytes, NDArray[np.bool_]] = {}
    while len(found) < count:
        stays = next(drawn)
        found.setdefault(np.packbits(stays).tobytes(), stays)
    return np.array(list(found.values()), dtype=bool).reshape(-1, n)
