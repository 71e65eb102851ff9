"""Say in a line what broke an expectation: how often, and where first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.expectations.summaries import cells_of, label_masks
from unshapley.data.row_index import BY_CHANCE, RowIndex
from unshapley.data.tables import Schema

Result = Mapping[str, Any]


def explain(
    failed: Sequence[Result],
    name: str,
    read: Callable[[], pd.DataFrame],
    schema: Schema,
    index: RowIndex,
) -> list[tuple[str, str]]:
    """Severity and text of what failed in a table, one line for each message.

    read: gives the table, which is read again only where cells or labels are to be named.
    """
    table = _Table(name, read, schema, index)
    lines = []
    for (severity, message), group in groupby(failed, lambda r: (r["severity"], r["message"])):
        lines.append((severity, f"{message}: {table.outcome(list(group))}"))
    return lines


class _Table:
    def __init__(
        self, name: str, read: Callable[[], pd.DataFrame], schema: Schema, index: RowIndex
    ) -> None:
        self.name, self.read, self.schema, self.index = name, read, schema, index

    @cached_property
    def frame(self) -> pd.DataFrame:
        return self.read()

    def outcome(self, results: Sequence[Result]) -> str:
        """What was observed in results that have the same message."""
        for result in results:
            if result["raised"]:
                return str(result["raised"][0].splitlines()[0])
        first = results[0]
        column = first["kwargs"].get("column")
        if first["view"] == "columns" and first["unexpected"]:
            return self.cells(results)
        if first["view"] == "tables" and first["unexpected"]:
            if column in ("missing_columns", "unexpected_columns"):
                return "; ".join(
                    f"{r['kwargs']['column'].removesuffix('_columns')} "
                    f"{r['unexpected'][0][r['kwargs']['column']]}"
                    for r in results
                )
            return self.rows(column, first)
        return "; ".join(map(observed, results))

    def rows(self, column: str, result: Result) -> str:
        """How many rows are of a kind, the values that say so, and the first one."""
        if column in ("label_missing", "label_unknown"):
            mask = label_masks(self.frame, self.schema)[column]
            values = self.frame[self.schema.label].to_numpy(dtype=object)[mask]
            return _counted(mask, values if column == "label_unknown" else ())
        if column == "repeated_rows":
            mask = self.index.repeated(self.name)
            return f"{mask.sum()} of {len(mask)}"
        elsewhere = self.index.elsewhere(self.name)
        by_chance = {chance: other for other, chance in BY_CHANCE.items()}
        other = elsewhere.get(by_chance.get(column, column))
        if other is not None:
            mask = np.asarray(pd.notna(other))
            counted = _counted(mask, other[mask])
            if column in by_chance:
                return counted
            count, largest = self.index.common(self.name, str(column))
            return f"{counted}; {count} different ones, where chance explains {largest}"
        return f"{result['unexpected'][0][column]:g}{expected(result['kwargs'])}"

    def cells(self, results: Sequence[Result]) -> str:
        """How many feature cells broke an expectation, and the first one, or, where it is not
        about cells, the columns and their values.
        """
        broken = {entry["column"]: (entry, r) for r in results for entry in r["unexpected"]}
        kinds = {r["kwargs"].get("column") for r in results}
        if not kinds <= {"text", "missing", "infinite", "minimum", "maximum"}:
            column = results[0]["kwargs"].get("column")
            return ", ".join(f"{c!r} {e[column]:g}" for c, (e, _) in list(broken.items())[:5])
        masks = {
            c: np.logical_or.reduce([_broken_cells(self.frame[[c]], r["kwargs"]) for r in results])
            for c in self.schema.features
            if c in broken
        }
        count, first = sum(int(m.sum()) for m in masks.values()), next(iter(masks))
        row = int(np.argmax(masks[first]))
        cell = self.frame[first].iloc[row]
        written = "empty" if pd.isna(cell) else cell
        cells = len(self.frame) * len(self.schema.features)
        return f"{count} of {cells}, first {first!r} row {row}: {written}"


def _broken_cells(column: pd.DataFrame, kwargs: Mapping[str, Any]) -> NDArray[np.bool_]:
    """The cells `(rows,)` of a column for which its summary broke an expectation."""
    numbers, masks = cells_of(column)
    if kwargs["column"] in masks:
        return masks[kwargs["column"]][:, 0]
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    # comparisons with NaN are false
    below = numbers < (-np.inf if low is None else low)
    return np.asarray(below | (numbers > (np.inf if high is None else high)))[:, 0]


def _counted(mask: NDArray[np.bool_], values: Any) -> str:
    shown = ", ".join(dict.fromkeys(str(v) for v in list(values)[:3]))
    values_text = f" ({shown})" if shown else ""
    return f"{mask.sum()} of {len(mask)}{values_text}, first in row {int(np.argmax(mask))}"


def expected(kwargs: Mapping[str, Any]) -> str:
    """The limits of an expectation, after what was observed."""
    limits = [("at least", "min_value"), ("at most", "max_value")]
    needed = " and ".join(
        f"{word} {kwargs[k]:g}" for word, k in limits if kwargs.get(k) is not None
    )
    return f", expected {needed}" if needed else ""


def observed(result: Result) -> str:
    """What Great Expectations observed where an expectation is the user's own."""
    outcome, kwargs = result["observed"], result["kwargs"]
    if "unexpected_count" in outcome:
        values = ", ".join(dict.fromkeys(str(v) for v in result["unexpected"]))
        count = f"{outcome['unexpected_count']} of {outcome.get('element_count', '?')}"
        return f"{count} ({values})" if values else count
    return f"{outcome.get('observed_value', 'not met')}{expected(kwargs)}"
