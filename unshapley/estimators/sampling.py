"""Coalitions in the order in which they are planned: a larger budget continues a smaller one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from unshapley.game.coalitions import Coalitions

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


def mixed_weights(n: int) -> Floats:
    """Half the sizes of coalitions drawn uniformly, half every size as likely `(n − 1,)`: a
    defensive mixture (Hesterberg 1995), by which neither Banzhaf's nor Shapley's weights are more
    than about twice the probability.
    """
    binomial = special.binom(n, np.arange(1, n))
    out: Floats = (leverage_weights(n) + binomial / binomial.sum()) / 2
    return out


def inclusion(n: int, count: int, weights: Callable[[int], Floats]) -> Floats:
    """Probability that a coalition of size 1 … n − 1 is among `paired(n, count, …)` `(n − 1,)`.

    Drawing until so many are distinct is successive sampling, in which a unit of rate r is met with
    probability 1 − exp(−r τ), where τ makes the expected number right (Rosén, "Asymptotic theory
    for successive sampling", 1972).
    """
    if count >= 2**n - 2:
        return np.ones(n - 1)
    number = special.binom(n, np.arange(1, n))
    rate = (weights(n) + weights(n)[::-1]) / number

    def missing(tau: float) -> float:
        return float(-(number * np.expm1(-rate * tau)).sum() - count)

    low = count / 2  # at most 2 τ are met
    high = 2 * low
    while missing(high) < 0:
        high *= 2
    out: Floats = -np.expm1(-rate * optimize.brentq(missing, low / 2, high))
    return out


def in_turn(n: int, count: int, rng: np.random.Generator, *, low: int, pairs: bool) -> Coalitions:
    """`count` distinct coalitions whose sizes low … n − low take turns `(count, n)`.

    Within a size they are uniform without replacement; with `pairs` each is followed by its
    complement. A size of which all are drawn is passed over.
    """
    sizes = np.arange(low, n // 2 + 1 if pairs else n - low + 1)
    left = {s: comb(n, s) // (2 if pairs and 2 * s == n else 1) for s in sizes.tolist()}
    met: dict[bytes, NDArray[np.bool_]] = {}
    while len(met) < count and any(left.values()):
        for size in rng.permutation(sizes).tolist():
            if left[size]:
                left[size] -= 1
                stays = _fresh(n, size, rng, met)
                met |= {
                    np.packbits(s).tobytes(): s for s in ([stays, ~stays] if pairs else [stays])
                }
    return np.array(list(met.values())[:count], dtype=bool).reshape(-1, n)


def _fresh(
    n: int, size: int, rng: np.random.Generator, met: dict[bytes, NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    while True:
        stays = np.zeros(n, dtype=bool)
        stays[rng.permutation(n)[:size]] = True
        if np.packbits(stays).tobytes() not in met:
            return stays


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
