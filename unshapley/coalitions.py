"""Coalitions: who stays. A row of a boolean matrix `(m, n)` in provider order, True = stays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Coalitions = NDArray[np.bool_]


def to_bits(coalitions: Coalitions) -> list[str]:
    """Each coalition as n characters 0/1 in provider order, as utilities.parquet stores it."""
    return ["".join("1" if stays else "0" for stays in row) for row in coalitions]


def from_bits(bits: Sequence[str]) -> Coalitions:
    """The inverse of `to_bits`."""
    return np.array([[c == "1" for c in row] for row in bits], dtype=bool)


def to_masks(coalitions: Coalitions) -> list[int]:
    """Each coalition as an integer whose bit i says whether provider i stays."""
    return [int(bits[::-1], 2) for bits in to_bits(coalitions)]


def from_masks(masks: Iterable[int], n: int) -> Coalitions:
    """The inverse of `to_masks` for n providers."""
    rows = [[mask >> i & 1 for i in range(n)] for mask in masks]
    return np.array(rows, dtype=bool).reshape(-1, n)


WINDOW = 4
"""Chunks whose coalitions are put in order of size together."""


def together(coalitions: Coalitions, size: int) -> list[NDArray[np.int64]]:
    """Which coalitions `(m, n)` are measured together, at most `size`, as indices of them.

    Models that train on about as many rows share a chunk: within a window of four chunks they are
    sorted by size. A longer plan that begins alike has the same chunks, up to the last full window.
    """
    sizes = coalitions.sum(axis=1)
    found = []
    for begin in range(0, len(coalitions), WINDOW * size):
        window = np.arange(begin, min(begin + WINDOW * size, len(coalitions)))
        order = window[np.argsort(sizes[window], kind="stable")]
        found += [order[i : i + size] for i in range(0, len(order), size)]
    return found


def chunks(coalitions: Coalitions, size: int) -> list[Coalitions]:
    """Consecutive slices of at most `size` coalitions."""
    return [coalitions[i : i + size] for i in range(0, len(coalitions), size)]
