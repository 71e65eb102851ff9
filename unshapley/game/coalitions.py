"""Coalitions: who stays. A row of a boolean matrix `(m, n)` in provider order, True = stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Coalitions = NDArray[np.bool_]

WINDOW = 4
"""Batches whose coalitions are sorted by size together."""


def nobody(n: int) -> Coalitions:
    """The coalition in which no provider stays `(1, n)`."""
    return np.zeros((1, n), dtype=bool)


def everybody(n: int) -> Coalitions:
    """The coalition in which all providers stay `(1, n)`."""
    return np.ones((1, n), dtype=bool)


def keys(coalitions: Coalitions) -> list[bytes]:
    """A hashable key for each coalition, by which coalitions of one game are told apart."""
    return [row.tobytes() for row in np.packbits(coalitions, axis=1)]


def positions(coalitions: Coalitions, among: Coalitions) -> NDArray[np.int64]:
    """Row of `among` at which each coalition stands `(m,)`; −1 where it is not there."""
    row = {key: i for i, key in enumerate(keys(among))}
    return np.array([row.get(key, -1) for key in keys(coalitions)], dtype=np.int64)


def distinct(coalitions: Coalitions) -> Coalitions:
    """Each coalition once, by size, those of one size in the order of binary numbers whose lowest
    digit is the first provider.
    """
    unique: Coalitions = np.unique(coalitions, axis=0)
    order = np.lexsort([*unique.T, unique.sum(axis=1)])
    return unique[order]


def to_bits(coalitions: Coalitions) -> list[str]:
    """Each coalition as n characters 0/1 in provider order, as utilities.parquet stores it."""
    return ["".join("1" if stays else "0" for stays in row) for row in coalitions]


def from_bits(bits: Sequence[str]) -> Coalitions:
    """The inverse of `to_bits`."""
    return np.array([[c == "1" for c in row] for row in bits], dtype=bool)


def batches_by_size(coalitions: Coalitions, size: int) -> list[NDArray[np.int64]]:
    """Which coalitions `(m, n)` are measured in one batch, at most `size`, as indices of them.

    Models that train on about as many rows share a batch: within a window of four batches they are
    sorted by size. A longer plan that begins alike has the same batches, up to the last full
    window.
    """
    sizes = coalitions.sum(axis=1)
    batches = []
    for begin in range(0, len(coalitions), WINDOW * size):
        window = np.arange(begin, min(begin + WINDOW * size, len(coalitions)))
        order = window[np.argsort(sizes[window], kind="stable")]
        batches += [order[i : i + size] for i in range(0, len(order), size)]
    return batches


def chunks(coalitions: Coalitions, size: int) -> list[Coalitions]:
    """Consecutive slices of at most `size` coalitions."""
    return [coalitions[i : i + size] for i in range(0, len(coalitions), size)]
