"""How many rows two tables have in common by chance.

Discrete tables and short texts repeat by nature; what was copied or has leaked repeats across
tables only. Two figures say how much is nature, and the larger one counts.

Repetition within tables: of a table of n rows in which a row stands c times, random parts of m and
k rows both hold it with probability 1 − (1 − m/n)^c − (1 − k/n)^c + (1 − (m + k)/n)^c. Summed over
its distinct rows that is the number of rows that tables of these sizes have in common if all are
draws from one source (rarefaction, Hurlbert 1971). Where n < m + k, parts in the same proportion
are cut, and the number grows as the product of the sizes.

Repetition within columns: two rows are equal by chance with the product over all columns of the
probability that two cells are, if columns are independent. It shows how many rows of few binary
columns are possible where no table is large enough to repeat one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

RARE = 1e-3
"""Chance explains what at least so many of pairs of tables would have in common."""
POPULAR = 5
"""A row that stands so often in both of two tables is in common to them by nature."""
SAMPLE = 1000
"""Rows of a table by which equal cells are counted."""


def collision_rate(frame: pd.DataFrame, features: Sequence[str]) -> float:
    """Probability that two rows of a table are equal if its columns are independent, from at most
    `SAMPLE` rows.
    """
    present = [c for c in features if c in frame.columns]
    sample = frame[present].iloc[:: max(1, -(-len(frame) // SAMPLE))]
    if len(sample) < 2 or not present or "O" in {dtype.kind for dtype in sample.dtypes}:
        return 0.0
    cells = np.sort(sample.to_numpy(dtype=float, na_value=np.nan), axis=0)
    count = len(cells)
    begins = np.vstack([np.ones(cells.shape[1], dtype=bool), cells[1:] != cells[:-1]])
    starts = np.flatnonzero(begins.T)
    times = np.diff(starts, append=cells.size).astype(float)
    equal = np.bincount(starts // count, times * (times - 1))
    return float((equal / (count * (count - 1))).prod())


@dataclass(frozen=True)
class DistinctRows:
    """Fingerprints of the distinct rows of a table, sorted, and how often each stands there."""

    values: NDArray[np.uint64]
    times: NDArray[np.int64]

    @staticmethod
    def of(prints: NDArray[np.uint64]) -> DistinctRows:
        """prints: as `tables.fingerprints` gives them."""
        return DistinctRows(*np.unique(prints, return_counts=True))

    @property
    def rows(self) -> int:
        """Number of rows, each as often as it stands there."""
        return int(self.times.sum())

    def in_common(self, other: DistinctRows) -> int:
        """Number of distinct rows that stand in both tables, but those that are popular in both."""
        if len(self.values) > len(other.values):
            return other.in_common(self)
        if not len(self.values):
            return 0
        place = np.minimum(np.searchsorted(other.values, self.values), len(other.values) - 1)
        equal = other.values[place] == self.values
        popular = (self.times >= POPULAR) & (other.times[place] >= POPULAR)
        return int((equal & ~popular).sum())


class Chance:
    """What rows in common chance explains, judged by the repetition within several tables.

    collision_rates: of each table.
    """

    def __init__(self, tables: Sequence[DistinctRows], collision_rates: Sequence[float]) -> None:
        owners, times, distinct = [], [], []
        for index, table in enumerate(tables):
            of_each, number = np.unique(table.times[table.times > 1], return_counts=True)
            owners.append(np.full(len(of_each), index))
            times.append(of_each)
            distinct.append(number)
        self._sizes = np.array([table.rows for table in tables], dtype=float)
        self._owner = np.concatenate([np.zeros(0, dtype=int), *owners])
        self._times = np.concatenate([np.zeros(0), *times])
        """how often a row stands in its table, for rows that stand there more than once …"""
        self._distinct = np.concatenate([np.zeros(0), *distinct])
        """… and how many distinct rows stand there so often"""
        rates = sorted(collision_rates)
        self._rate = float(np.mean(rates[: max(1, len(rates) - 1)])) if rates else 0.0
        self.largest = lru_cache(maxsize=None)(self._largest)

    def _largest(self, m: int, k: int) -> int:
        """The largest number of distinct rows in common to tables of m and k rows that chance
        explains: more would be in fewer than one of a thousand such pairs.

        What tables expect is a mean that rests on as many repeated rows (so negative binomial),
        what columns expect is exact enough (so Poisson).
        """
        expected, evidence = self._expected(m, k)
        found = _quantile(m * k * self._rate, np.inf)
        return max(found, _quantile(expected, evidence)) if evidence else found

    def _expected(self, m: int, k: int) -> tuple[float, float]:
        """Distinct rows in common, expected from repetition within tables, and the number of
        repeated rows that this rests on.

        The table that repeats most is left out: one that holds its rows twice excuses nobody. The
        others count by the square of their rows, that is by the pairs they hold. Rows that would be
        popular in both are not counted, as `in_common` does not count them.
        """
        if not len(self._times) or not m or not k:
            return 0.0, 0.0
        n = self._sizes[self._owner]
        shrink = np.minimum(1.0, n / (m + k))
        alpha, beta = m * shrink / n, k * shrink / n
        popular = self._times * min(m, k) / n >= POPULAR
        both = (
            1
            - (1 - alpha) ** self._times
            - (1 - beta) ** self._times
            + np.maximum(0.0, 1 - alpha - beta) ** self._times
        )
        tables, distinct = len(self._sizes), np.where(popular, 0.0, self._distinct)
        common = np.bincount(self._owner, both * distinct / shrink**2, minlength=tables)
        repeated = np.bincount(self._owner, distinct, minlength=tables)
        weight = self._sizes**2
        counted = np.arange(tables) != np.argmax(weight * common)
        mean = (weight * common)[counted].sum() / max(1.0, weight[counted].sum())
        return float(mean), float(repeated[counted].sum())


def _quantile(mean: float, evidence: float) -> int:
    """The smallest number that a count of this mean exceeds with probability `RARE` or less.

    evidence: events that the mean itself was estimated from.
    """
    spread = np.sqrt(mean + mean**2 / evidence)
    candidates = np.arange(int(mean + 12 * spread) + 20)
    if np.isinf(evidence):
        beyond = special.pdtrc(candidates, mean)
    else:
        beyond = special.nbdtrc(candidates, evidence, evidence / (evidence + mean))
    return int(np.argmax(beyond <= RARE))
