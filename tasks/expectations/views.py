"""The two views in which a table is checked: its rows, and its cells one by one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.expectations.suites import ALSO_IN, FINGERPRINT, IN_REFERENCE, IN_TEST
from unshapley.data.tables import Schema, fingerprints

Index = Mapping[str, NDArray[np.uint64]]
"""Table name → fingerprints of its rows."""


def rows_view(
    frame: pd.DataFrame, name: str, kind: str, schema: Schema, index: Index
) -> pd.DataFrame:
    """The table with its rows' fingerprints and the other tables in which they stand too."""
    own = fingerprints(frame, schema.features)
    out = frame.copy()
    out[FINGERPRINT] = own.astype(str)
    # of two providers with the same rows the earlier in provider order is taken as their source
    earlier = [k for k in index if k not in ("test", "reference") and k < name]
    out[ALSO_IN] = _first_of(own, earlier, index) if kind == "partition" else None
    out[IN_TEST] = _first_of(own, ["test"], index) if kind == "partition" else None
    out[IN_REFERENCE] = _first_of(own, ["reference"], index) if kind != "reference" else None
    return out


def cells_view(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """One row a feature cell: column, row, value (NaN unless a finite number) and its kind."""
    present = [c for c in schema.features if c in frame.columns]
    long = frame[present].astype(object).reset_index(names="row").melt("row", var_name="column")
    raw = long["value"]
    number = pd.to_numeric(raw, errors="coerce").astype(float)
    finite = pd.Series(np.isfinite(number.to_numpy()), index=long.index)
    typed = ~raw.map(lambda cell: isinstance(cell, str))
    kind = np.select(
        [raw.isna(), ~typed | (number.isna()), ~finite], ["missing", "text", "infinite"], "number"
    )
    cell = raw.astype(object).where(raw.notna(), "empty").astype(str)
    return long.assign(value=number.where(finite & typed), kind=kind, cell=cell)


def _first_of(own: NDArray[np.uint64], tables: list[str], index: Index) -> pd.Series:
    out = pd.Series([None] * len(own), dtype=object)
    for table in reversed(tables):
        out[np.isin(own, index[table])] = table
    return out


def views(
    frame: pd.DataFrame, name: str, kind: str, schema: Schema, index: Index
) -> dict[str, pd.DataFrame]:
    """Both views of a table, by name."""
    return {
        "rows": rows_view(frame, name, kind, schema, index),
        "cells": cells_view(frame, schema),
    }
