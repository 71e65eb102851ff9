"""Say in a line which documents broke an expectation, whose copies they are, and show a passage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from tasks.expectations.explaining import expected, observed
from tasks.expectations.text_summaries import TextIndex, places, text_masks, texts_of
from unshapley.data.near_copies import Copy, passage
from unshapley.data.row_index import BY_CHANCE
from unshapley.data.tables import Schema
from unshapley.data.windows import COLUMNS, DOCUMENT

NAMED = 3
"""Copies that a line names, and an expectation gives as examples."""
KEYS = {**{chance: key for key, chance in BY_CHANCE.items()}, **{key: key for key in BY_CHANCE}}
"""Columns of facts about equal documents, and the kind of copies that they count."""

Result = Mapping[str, Any]
Read = Callable[[str], pd.DataFrame]


def explain_text(
    failed: Sequence[Result], name: str, read: Read, schema: Schema, index: TextIndex
) -> list[tuple[str, str]]:
    """Severity and text of what failed in a table, one line for each expectation."""
    frame = _table(name, read)
    lines = []
    for result in failed:
        text = _outcome(result, name, frame, read, schema, index)
        lines.append((result["severity"], f"{result['message']}: {text}"))
    return lines


def _table(name: str, read: Read) -> pd.DataFrame:
    """A table with all columns that it should have."""
    return read(name).reindex(columns=list(COLUMNS))


def _outcome(
    result: Result, name: str, frame: pd.DataFrame, read: Read, schema: Schema, index: TextIndex
) -> str:
    if result["raised"]:
        return str(result["raised"][0].splitlines()[0])
    column = result["kwargs"].get("column")
    if result["view"] != "tables" or not result["unexpected"]:
        return observed(result)
    if copies := _copies(index, name, column):
        shown = ", ".join(_named(copy, name, frame, read) for copy in copies[:NAMED])
        return f"{len(copies)} of {len(frame)} ({shown}{', …' * (len(copies) > NAMED)})"
    masks = {**text_masks(frame, schema), "repeated_rows": index.repeated(name)}
    if column in masks:
        return places(masks[column], frame[DOCUMENT])
    fact = result["unexpected"][0][column]
    if isinstance(fact, str):  # names of columns
        return f"{column.removesuffix('_columns')} {fact}"
    return f"{fact:.3g}{expected(result['kwargs'])}"


def _copies(index: TextIndex, name: str, column: str) -> list[Copy]:
    if column in KEYS:
        return index.copies(name, KEYS[column])
    return index.near[name].get(column, [])


def _named(copy: Copy, name: str, frame: pd.DataFrame, read: Read) -> str:
    other = _table(copy.other, read)[DOCUMENT].iloc[copy.other_row]
    whose = "" if copy.other == name else f" of {copy.other}"
    alike = "=" if copy.similarity == 1 else f"{copy.similarity:.0%}"
    return f"{frame[DOCUMENT].iloc[copy.row]!r} {alike} {other!r}{whose}"


def examples_of(
    failed: Sequence[Result], name: str, read: Read, index: TextIndex
) -> list[dict[str, Any]]:
    """Documents of a table that stand elsewhere too, or nearly: their names, owners, how much they
    are alike, and the longest passage that they have in common.
    """
    out = []
    frame = _table(name, read)
    for result in failed:
        for copy in _copies(index, name, result["kwargs"].get("column"))[:NAMED]:
            other = _table(copy.other, read)
            text, other_text = texts_of(frame)[copy.row], texts_of(other)[copy.other_row]
            out.append(
                {
                    "document": str(frame[DOCUMENT].iloc[copy.row]),
                    "other": str(other[DOCUMENT].iloc[copy.other_row]),
                    "other_table": copy.other,
                    "similarity": copy.similarity,
                    "passage": passage(text, other_text),
                }
            )
    return out
