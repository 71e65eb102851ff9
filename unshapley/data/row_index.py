"""Rows that stand in several tables, and how many of them chance explains."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unshapley.data.chance import Chance, DistinctRows

SETS = ("test", "reference")
BY_CHANCE = {f"rows_in_{other}": f"chance_in_{other}" for other in ("partitions", *SETS)}
"""Shares of rows that also stand elsewhere: more of them than by chance, and no more than that."""


class RowIndex:
    """Where rows stand: which tables hold equal ones.

    prints: fingerprints of the rows `(rows,)` of all tables, by name; collisions: probability that
    two rows of a table are equal by chance, by name.
    """

    def __init__(
        self, prints: Mapping[str, NDArray[np.uint64]], collisions: Mapping[str, float]
    ) -> None:
        self.prints = prints
        self.partitions = sorted(n for n in prints if n not in SETS)
        empty = [np.zeros(0, dtype=np.uint64)]
        every = [prints[n] for n in self.partitions] or empty
        self._values, first = np.unique(np.concatenate(every), return_index=True)
        ends = np.cumsum([len(p) for p in every])
        self._first = np.searchsorted(ends, first, side="right")
        """of each distinct row the first partition that holds it, by its place in the order"""
        self._distinct = {name: DistinctRows.of(rows) for name, rows in prints.items()}
        self._chance = Chance(
            [self._distinct[n] for n in self.partitions],
            [collisions[n] for n in self.partitions],
        )

    def elsewhere(self, name: str) -> dict[str, NDArray[np.object_]]:
        """For each row `(rows,)` of a table the other table that holds it too, or None.

        Of two partitions with the same rows the later one counts as the copy.
        """
        prints = self.prints[name]
        out = {}
        if name not in SETS:
            first = self._first[np.searchsorted(self._values, prints)]
            names = np.array([*self.partitions, ""], dtype=object)[first]
            earlier = first < self.partitions.index(name)
            out["rows_in_partitions"] = _where(earlier, names)
        for other in SETS:
            # of test and reference set with the same rows it is the test set that leaked
            if other in self.prints and name not in (other, "reference"):
                held = np.isin(prints, self.prints[other])
                out[f"rows_in_{other}"] = _where(held, np.full(len(prints), other, dtype=object))
        return out

    def repeated(self, name: str) -> NDArray[np.bool_]:
        """Rows `(rows,)` that stand more than once in a table."""
        return pd.Series(self.prints[name]).duplicated(keep=False).to_numpy()

    def facts(self, name: str) -> dict[str, float]:
        """The shares of a table's rows that stand elsewhere or twice, for the view `tables`."""
        facts = {"repeated_rows": _share(self.repeated(name))}
        for key, other in self.elsewhere(name).items():
            share = _share(pd.notna(other))
            count, largest = self.common(name, key) if share else (0, 0)
            facts[key] = share if count > largest else 0.0
            facts[BY_CHANCE[key]] = share if count <= largest else 0.0
        return facts

    def common(self, name: str, key: str) -> tuple[int, int]:
        """How many distinct rows a table has in common with the other one of an expectation, of
        several partitions with that where most of its rows stand first, and the largest number
        that chance explains.
        """
        other = key.removeprefix("rows_in_")
        if other not in SETS:
            first = self._first[np.searchsorted(self._values, self.prints[name])]
            earlier = first[first < self.partitions.index(name)]
            if not len(earlier):
                return 0, 0
            other = self.partitions[int(np.bincount(earlier).argmax())]
        a, b = self._distinct[name], self._distinct[other]
        return a.in_common(b), self._chance.largest(a.rows, b.rows)


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean()) if len(mask) else 0.0


def _where(mask: NDArray[np.bool_], names: NDArray[np.object_]) -> NDArray[np.object_]:
    out = names.copy()
    out[~mask] = None
    return out
