"""The two views in which a table is checked: its rows and its cells."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.expectations.suites import ALSO_IN, FINGERPRINT, IN_REFERENCE, IN_TEST
from unshapley.config import LARGEST
from unshapley.data.tables import Schema, fingerprints

Index = Mapping[str, NDArray[np.uint64]]
"""Table name → fingerprints of its rows."""
VIEWS = ("rows", "cells")


def rows_view(
    frame: pd.DataFrame, name: str, kind: str, schema: Schema, index: Index
) -> pd.DataFrame:
    """The table with the fingerprints of its rows and the other tables that contain the rows."""
    hashes = fingerprints(frame, schema.features)
    out = frame.copy()
    out[FINGERPRINT] = hashes.astype(str)
    # if two providers have the same rows, the second in provider order counts as the copy
    earlier = [k for k in index if k not in ("test", "reference") and k < name]
    out[ALSO_IN] = _first_of(hashes, earlier, index) if kind == "partition" else None
    out[IN_TEST] = _first_of(hashes, ["test"], index) if kind == "partition" else None
    out[IN_REFERENCE] = _first_of(hashes, ["reference"], index) if kind != "reference" else None
    return out


def cells_view(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """One row for each feature cell: column, row, value (NaN unless a finite number), kind."""
    present = [c for c in schema.features if c in frame.columns]
    long = frame[present].astype(object).reset_index(names="row").melt("row", var_name="column")
    raw = long["value"]
    number = pd.to_numeric(raw, errors="coerce").astype(float)
    finite = number.abs() <= LARGEST  # false for NaN too
    typed = ~raw.map(lambda cell: isinstance(cell, str))
    kind = np.select(
        [raw.isna(), ~typed | (number.isna()), ~finite], ["missing", "text", "infinite"], "number"
    )
    cell = raw.astype(object).where(raw.notna(), "empty").astype(str)
    return long.assign(value=number.where(finite & typed), kind=kind, cell=cell)


def _first_of(hashes: NDArray[np.uint64], tables: list[str], index: Index) -> pd.Series:
    out = pd.Series([None] * len(hashes), dtype=object)
    for table in reversed(tables):
        out[np.isin(hashes, index[table])] = table
    return out


def views(
    frame: pd.DataFrame, name: str, kind: str, schema: Schema, index: Index
) -> dict[str, pd.DataFrame]:
    """Both views of a table, by name."""
    return {
        "rows": rows_view(frame, name, kind, schema, index),
        "cells": cells_view(frame, schema),
    }
