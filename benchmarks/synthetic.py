"""Games of any number of providers with known Shapley values; needs numpy alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SEED = 0
HIGHEST = 8


@dataclass(frozen=True)
class Synthetic:
    """Utilities of coalitions `(m, n)` → `(m,)`, and the values `(n,)`."""

    utility: Callable[[NDArray[Any]], Floats]
    values: Floats


def weights(n: int) -> NDArray[np.int64]:
    """Weights 1 … 8 `(n,)`."""
    return np.random.default_rng(SEED).integers(1, HIGHEST + 1, n)


def chances(w: NDArray[np.int64]) -> dict[int, Floats]:
    """Of what weighs v: how likely the others in front of it in a random order weigh so much.

    By dynamic programming over the others: P[s, W] of s of them drawn at random; the mean over s.
    """
    n, out = len(w), {}
    for v in np.unique(w).tolist():
        others = w.tolist()
        others.remove(v)
        p = np.zeros((n, int(w.sum()) + 1))
        p[0, 0] = 1.0
        most = 0
        for k, x in enumerate(others, 1):
            # one more is among s of k with probability s / k
            share = np.arange(k + 1)[:, None] / k
            before = p[: k + 1, : most + 1].copy()
            most += x
            p[: k + 1, : most + 1] *= 1 - share
            p[1 : k + 1, x : most + 1] += before[:k] * share[1:]
        out[v] = p.mean(axis=0)
    return out


def weighted(w: NDArray[np.int64], of_weight: Callable[[Floats], Floats]) -> Synthetic:
    """A function of the weight of a coalition; weights are whole numbers."""
    total = np.arange(w.sum() + 1)
    by_weight = {
        v: float(p @ (of_weight(np.minimum(total + v, w.sum())) - of_weight(total)))
        for v, p in chances(w).items()
    }
    values = np.array([by_weight[int(v)] for v in w])
    return Synthetic(lambda x: of_weight(np.asarray(x) @ w), values)


def learning(n: int) -> Synthetic:
    """A learning curve: log(1 + 20 · share of the weight)."""
    w = weights(n)
    return weighted(w, lambda total: np.log1p(20 * total / w.sum()) / np.log(21))


def majority(n: int) -> Synthetic:
    """1 where a coalition weighs more than half, else 0."""
    w = weights(n)
    quota = w.sum() // 2
    return weighted(w, lambda total: (total > quota).astype(np.float64))


def airport(n: int) -> Synthetic:
    """The dearest member's cost (Littlechild, Owen 1973)."""
    cost = np.sort(np.random.default_rng(SEED).random(n))
    steps = np.diff(np.append(0.0, cost))
    return Synthetic(lambda x: (x * cost).max(axis=1), np.cumsum(steps / (n - np.arange(n))))


def unanimity(n: int) -> Synthetic:
    """4n sums due where all of one to five members are in: each gets an equal part."""
    rng = np.random.default_rng(SEED)
    members, due = np.zeros((4 * n, n)), rng.normal(0.3, 1.0, 4 * n)
    for row in members:
        row[rng.choice(n, rng.integers(1, 6), replace=False)] = 1.0
    size = members.sum(axis=1)
    values = (members * (due / size)[:, None]).sum(axis=0)
    return Synthetic(lambda x: (x @ members.T >= size - 0.5) @ due, values)


def redundant(n: int) -> Synthetic:
    """Additive, but for pairs that bring nearly the same: one of every four with the next."""
    alone = np.random.default_rng(SEED).gamma(2.0, 1.0, n)
    first = np.arange(0, n - 1, 4)
    lost = 0.8 * np.minimum(alone[first], alone[first + 1])
    values = alone.copy()
    values[first] -= lost / 2
    values[first + 1] -= lost / 2

    def utility(x: NDArray[Any]) -> Floats:
        out: Floats = x @ alone - (x[:, first] * x[:, first + 1]) @ lost
        return out

    return Synthetic(utility, values)


SYNTHETIC: dict[str, Callable[[int], Synthetic]] = {
    "learning": learning,
    "airport": airport,
    "unanimity": unanimity,
    "majority": majority,
    "redundant": redundant,
}
