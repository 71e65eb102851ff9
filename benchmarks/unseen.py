"""Random games with known Shapley values, another one for each seed, which no table of
estimators.py has: its rules for errors were measured on these, and are tested on the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special
from synthetic import Floats, Synthetic, weighted

Rng = np.random.Generator


def majority(n: int, rng: Rng) -> Synthetic:
    """1 where a coalition weighs more than a random quota, else 0."""
    w = rng.integers(1, 13, n)
    quota = rng.uniform(0.35, 0.65) * w.sum()
    return weighted(w, lambda total: (total > quota).astype(np.float64))


def power(n: int, rng: Rng) -> Synthetic:
    """A learning curve: a power of the share of the weight."""
    w = rng.integers(1, 10, n)
    exponent = rng.uniform(0.3, 0.8)
    return weighted(w, lambda total: (total / w.sum()) ** exponent)


def sigmoid(n: int, rng: Rng) -> Synthetic:
    """A soft step in the share of the weight."""
    w = rng.integers(1, 10, n)
    middle, slope = rng.uniform(0.3, 0.6), rng.uniform(8, 20)
    return weighted(w, lambda total: special.expit(slope * (total / w.sum() - middle)))


def moebius(n: int, rng: Rng) -> Synthetic:
    """Additive, and 3n random dividends of coalitions of two to four."""
    alone, due, members = rng.gamma(2.0, 1.0, n), rng.normal(size=3 * n), np.zeros((3 * n, n))
    for row in members:
        row[rng.choice(n, rng.integers(2, 5), replace=False)] = 1.0
    size = members.sum(axis=1)
    values = alone + (members * (due / size)[:, None]).sum(axis=0)
    return Synthetic(lambda x: x @ alone + (x @ members.T >= size - 0.5) @ due, values)


def graph(n: int, rng: Rng) -> Synthetic:
    """Weights of the edges within a coalition of a random graph (Deng, Papadimitriou 1994)."""
    edges = np.triu(rng.normal(0.2, 1.0, (n, n)) * (rng.random((n, n)) < 4 / n), 1)
    return Synthetic(
        lambda x: ((x @ edges) * x).sum(axis=1), (edges.sum(axis=0) + edges.sum(axis=1)) / 2
    )


def glove(n: int, rng: Rng) -> Synthetic:
    """Pairs of a left and a right glove (Shapley, Shubik 1969)."""
    left = np.zeros(n, dtype=bool)
    left[rng.permutation(n)[: round(n * rng.uniform(0.3, 0.5))]] = True

    def utility(x: NDArray[Any]) -> Floats:
        stays = np.asarray(x, dtype=bool)
        return np.minimum((stays & left).sum(1), (stays & ~left).sum(1)).astype(np.float64)

    values = np.where(left, _of_glove(left.sum(), n), _of_glove(n - left.sum(), n))
    return Synthetic(utility, values)


def _of_glove(own: int, n: int) -> float:
    """How likely fewer of the `own` kind than of the other precede a glove in a random order."""
    before, same = np.ogrid[:n, :own]
    ways = special.binom(own - 1, same) * special.binom(n - own, before - same)
    likely = np.where(2 * same < before, ways, 0.0).sum(axis=1) / special.binom(n - 1, before[:, 0])
    return float(likely.mean())


def _highest(gains: Floats) -> Floats:
    """Values `(n,)` where a coalition has its highest gain (Littlechild, Owen 1973)."""
    order = np.argsort(gains)
    steps = np.diff(np.append(0.0, gains[order]))
    out = np.empty(len(gains))
    out[order] = np.cumsum(steps / (len(gains) - np.arange(len(gains))))
    return out


def airport(n: int, rng: Rng) -> Synthetic:
    """The dearest member's cost."""
    cost = rng.random(n) ** rng.uniform(0.5, 3)
    return Synthetic(lambda x: (x * cost).max(axis=1), _highest(cost))


def facility(n: int, rng: Rng) -> Synthetic:
    """Mean over n clients of what the best member is to each."""
    use = rng.gamma(1.0, 1.0, (n, n)) / n
    values = np.sum([_highest(row) for row in use], axis=0)
    return Synthetic(lambda x: np.sum([(x * row).max(axis=1) for row in use], axis=0), values)


def coverage(n: int, rng: Rng) -> Synthetic:
    """Weight of the elements that at least one member has."""
    has = rng.random((5 * n, n)) < rng.uniform(1.5, 4) / n
    has = has[has.any(axis=1)]
    weight = rng.gamma(1.0, 1.0, len(has))
    values = (has * (weight / has.sum(axis=1))[:, None]).sum(axis=0)
    return Synthetic(lambda x: (x @ has.T.astype(np.float64) > 0.5) @ weight, values)


UNSEEN: dict[str, Callable[[int, Rng], Synthetic]] = {
    "random-majority": majority,
    "random-power": power,
    "random-sigmoid": sigmoid,
    "random-moebius": moebius,
    "random-graph": graph,
    "random-glove": glove,
    "random-airport": airport,
    "random-facility": facility,
    "random-coverage": coverage,
}


def unseen(name: str, n: int, seed: int) -> Synthetic:
    """The game of a kind for this seed."""
    return UNSEEN[name](n, np.random.default_rng([seed, n, list(UNSEEN).index(name)]))
