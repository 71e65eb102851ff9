"""The error of a difference between the values of two valuations.

The variance of a difference is the sum of the variances of both values, so the errors of the two
are taken as independent. Where they share a part of their errors, as two valuations on one test set
do, the difference has less error than that: the interval is too wide rather than too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from unshapley.results.published import PublishedValue

NORMAL = 1.959963984540054
"""97.5 % quantile of the normal distribution, by which the intervals in values.csv are scaled."""


def half_width(
    before: PublishedValue | None, after: PublishedValue | None, *, with_test: bool
) -> float | None:
    """Half-width of the 95 % interval of a difference; None if an error is not recorded.

    with_test: count the error of the finite test set, in both values.
    """
    squares = 0.0
    for entry in (before, after):
        if entry is None or entry.value is None or entry.ci_high is None:
            return None
        square = (entry.ci_high - entry.value) ** 2
        squares += square if with_test else square - (NORMAL * (entry.test_error or 0.0)) ** 2
    return math.sqrt(max(squares, 0.0))


def holm(
    differences: Sequence[float | None], half_widths: Sequence[float | None], tiny: float
) -> list[float | None]:
    """p-values of no difference, adjusted by Holm's method; None where the error is unknown.

    Holm, "A simple sequentially rejective multiple test procedure" (1979). The errors are those of
    a normal distribution whose 95 % interval has the half-width.
    """
    raw = [
        None if width is None or difference is None else _p_value(difference, width, tiny)
        for difference, width in zip(differences, half_widths, strict=True)
    ]
    known = sorted((p, i) for i, p in enumerate(raw) if p is not None)
    adjusted, largest = list(raw), 0.0
    for rank, (p, i) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[i] = largest
    return adjusted


def _p_value(difference: float, width: float, tiny: float) -> float:
    if abs(difference) <= tiny:
        return 1.0
    return math.erfc(abs(difference) / width * NORMAL / math.sqrt(2)) if width else 0.0


def interval(difference: float | None, width: float | None) -> tuple[float | None, float | None]:
    """Ends of an interval around a difference; None where its half-width is unknown."""
    if difference is None or width is None:
        return None, None
    return difference - width, difference + width
