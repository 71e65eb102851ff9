"""Random coalitions, in an order that a larger budget extends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from unshapley.game.coalitions import Coalitions

Floats = NDArray[np.float64]
LISTED = 16
"""Up to so many providers, all coalitions are listed and put in random order; with more, they are
drawn one by one, and repeats are rejected."""


def everything(n: int) -> Coalitions:
    """All coalitions but the empty and the full one `(2ⁿ − 2, n)`."""
    masks = np.arange(1, 2**n - 1)
    coalitions: Coalitions = (masks[:, None] >> np.arange(n) & 1).astype(bool)
    return coalitions


def kernel_weights(n: int) -> Floats:
    """Probability of each size 1 … n − 1 under the Shapley kernel, ∝ 1 / (s (n − s)) `(n − 1,)`
    (Lundberg, Lee 2017, theorem 2; Covert, Lee 2021, section 3).
    """
    size = np.arange(1, n)
    weights = 1 / (size * (n - size))
    out: Floats = weights / weights.sum()
    return out


def leverage_weights(n: int) -> Floats:
    """Equal probability for all sizes 1 … n − 1 `(n − 1,)`: the leverage scores of the regression
    behind the Shapley value (Musco, Witter, "Provably accurate Shapley value estimation via
    leverage score sampling", ICLR 2025, lemma 3.2).
    """
    return np.full(n - 1, 1 / (n - 1))


def mixed_weights(n: int) -> Floats:
    """Mean of two distributions over sizes 1 … n − 1 `(n − 1,)`: the uniform one, and that of
    uniformly drawn coalitions. A defensive mixture (Hesterberg 1995): both Banzhaf's and Shapley's
    weights are at most about twice the probability.
    """
    binomial = special.binom(n, np.arange(1, n))
    out: Floats = (leverage_weights(n) + binomial / binomial.sum()) / 2
    return out


def inclusion(n: int, count: int, weights: Callable[[int], Floats]) -> Floats:
    """Probability that a coalition of size 1 … n − 1 is among `paired(n, count, …)` `(n − 1,)`.

    Drawing until `count` are distinct is successive sampling: a unit of rate r is drawn with
    probability 1 − exp(−r τ), where τ is such that `count` are expected (Rosén, "Asymptotic theory
    for successive sampling", 1972).
    """
    if count >= 2**n - 2:
        return np.ones(n - 1)
    number = special.binom(n, np.arange(1, n))
    rate = (weights(n) + weights(n)[::-1]) / number

    def excess(tau: float) -> float:
        return float(-(number * np.expm1(-rate * tau)).sum() - count)

    low = count / 2  # at most 2 τ are expected
    high = 2 * low
    while excess(high) < 0:
        high *= 2
    out: Floats = -np.expm1(-rate * optimize.brentq(excess, low / 2, high))
    return out


def in_turn(n: int, count: int, rng: np.random.Generator, *, low: int, pairs: bool) -> Coalitions:
    """`count` distinct coalitions `(count, n)`, in rounds that take one of each size low … n − low.

    Within a size they are uniform without replacement; with `pairs` each is followed by its
    complement. A size of which all are drawn is skipped.
    """
    sizes = np.arange(low, n // 2 + 1 if pairs else n - low + 1)
    left = {s: comb(n, s) // (2 if pairs and 2 * s == n else 1) for s in sizes.tolist()}
    drawn: dict[bytes, NDArray[np.bool_]] = {}
    while len(drawn) < count and any(left.values()):
        for size in rng.permutation(sizes).tolist():
            if left[size]:
                left[size] -= 1
                coalition = _undrawn(n, size, rng, drawn)
                drawn |= {
                    np.packbits(s).tobytes(): s
                    for s in ([coalition, ~coalition] if pairs else [coalition])
                }
    return np.array(list(drawn.values())[:count], dtype=bool).reshape(-1, n)


def _undrawn(
    n: int, size: int, rng: np.random.Generator, drawn: dict[bytes, NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """A uniform coalition of `size` providers that is not among `drawn`."""
    while True:
        coalition = np.zeros(n, dtype=bool)
        coalition[rng.permutation(n)[:size]] = True
        if np.packbits(coalition).tobytes() not in drawn:
            return coalition


def paired(n: int, count: int, seed: int, weights: Callable[[int], Floats]) -> Coalitions:
    """`count` distinct coalitions, each followed by its complement `(count, n)`.

    weights: probability of the sizes 1 … n − 1; without replacement. `count` is at most 2ⁿ − 2.
    """
    rng = np.random.default_rng(seed)
    if n <= LISTED:
        return _listed(n, rng, weights(n))[:count]
    return _distinct(_drawn_pairs(n, rng, weights(n)), n, count)


def _listed(n: int, rng: np.random.Generator, weights: Floats) -> Coalitions:
    """All coalitions in an order of drawing without replacement: sorted by exponential variates
    with rates proportional to the probabilities (Efraimidis, Spirakis 2006).
    """
    half = everything(n)[: 2 ** (n - 1) - 1]  # those without the last provider: one of each pair
    size = half.sum(axis=1)
    per_size = weights / np.array([comb(n, s) for s in range(1, n)])
    rate = per_size[size - 1] + per_size[n - size - 1]
    order = np.argsort(rng.exponential(size=len(half)) / rate, kind="stable")
    pairs: Coalitions = np.stack([half[order], ~half[order]], axis=1).reshape(-1, n)
    return pairs


def _drawn_pairs(n: int, rng: np.random.Generator, weights: Floats) -> Iterator[NDArray[np.bool_]]:
    sizes = np.arange(1, n)
    while True:
        for size in rng.choice(sizes, size=256, p=weights):
            coalition = np.zeros(n, dtype=bool)
            coalition[rng.permutation(n)[:size]] = True
            yield coalition
            yield ~coalition


def _distinct(drawn: Iterator[NDArray[np.bool_]], n: int, count: int) -> Coalitions:
    distinct: dict[bytes, NDArray[np.bool_]] = {}
    while len(distinct) < count:
        coalition = next(drawn)
        distinct.setdefault(np.packbits(coalition).tobytes(), coalition)
    return np.array(list(distinct.values()), dtype=bool).reshape(-1, n)
