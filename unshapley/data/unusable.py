"""Columns that no model can use, or that not all tables have."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from unshapley.data.column_rules import ColumnFacts
from unshapley.data.reading import RawTable
from unshapley.errors import InputError


def alike(tables: Mapping[Path, RawTable], left_out: set[str]) -> dict[Path, RawTable]:
    """The tables without those columns that the user leaves out and that not all of them have."""
    common = set.intersection(*(set(table.rows.column_names) for table in tables.values()))
    return {path: _without(table, left_out - common) for path, table in tables.items()}


def without_nested(
    tables: Mapping[Path, RawTable], needed: Collection[str | None]
) -> tuple[dict[Path, RawTable], dict[str, str]]:
    """The tables without columns whose cells are lists, maps or bytes, and what these hold.

    Raises `InputError` where one is needed.
    """
    nested = {
        field.name: str(field.type)
        for table in tables.values()
        for field in table.rows.schema
        if pa.types.is_nested(field.type) or pa.types.is_binary(field.type)
    }
    for name in needed:
        if name in nested:
            raise InputError(
                f"its cells are of type {nested[name]}",
                where=f"column {name!r}",
                expected="texts or numbers",
                do="name another column, or write it otherwise",
            )
    return {path: _without(table, nested) for path, table in tables.items()}, nested


def of_nested(name: str, kind: str) -> ColumnFacts:
    """What is shown of it."""
    note = "left out: each cell holds several things; write what of them matters as columns"
    return ColumnFacts(name, kind, 0, 0, "", (note,))


def _without(table: RawTable, names: Collection[str]) -> RawTable:
    kept = [name for name in table.rows.column_names if name not in names]
    return replace(table, rows=table.rows.select(kept))
