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


def chunks(coalitions: Coalitions, size: int) -> list[Coalitions]:
    """Consecutive slices of at most `size` coalitions."""
    return [coalitions[i : i + size] for i in range(0, len(coalitions), size)]
