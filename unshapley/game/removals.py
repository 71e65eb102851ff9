"""Orders in which providers are removed, and the coalitions that are passed through."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unshapley.game.coalitions import Coalitions

MOST, LEAST, RANDOM = "most_valuable_first", "least_valuable_first", "random"


def removal_orders(values: Sequence[float], random: int, seed: int) -> dict[str, tuple[int, ...]]:
    """Players by value from both ends (equal values in provider order), and random orders.

    A random order depends only on the seed and on its own number: a larger `random` adds orders and
    keeps the first ones.
    """
    most = tuple(sorted(range(len(values)), key=lambda i: (-values[i], i)))
    orders = {MOST: most, LEAST: most[::-1]}
    for k in range(random):
        shuffled = np.random.default_rng([seed, k]).permutation(len(values))
        orders[f"{RANDOM}_{k + 1}"] = tuple(map(int, shuffled))
    return orders


def removals(order: Sequence[int]) -> Coalitions:
    """Coalitions `(n + 1, n)` from the full to the empty one; each has one player less."""
    position = np.empty(len(order), dtype=int)
    position[list(order)] = np.arange(len(order))
    steps = np.arange(len(order) + 1)
    stays: Coalitions = position[None, :] >= steps[:, None]
    return stays
