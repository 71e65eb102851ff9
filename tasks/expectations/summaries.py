"""Summaries of tables, which is what expectations are checked on.

Great Expectations takes seconds of start and many times a table's memory for each run, whatever
the table's size; a summary has one row for each table, or one for each table and feature, so
one run checks all tables of a kind.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from unshapley.config import LARGEST
from unshapley.data.chance import collision_rate
from unshapley.data.row_index import RowIndex
from unshapley.data.tables import Schema, fingerprints

Masks = dict[str, NDArray[np.bool_]]
"""Which cells, or rows of a table, are of a kind; by the kind's name."""


@dataclass(frozen=True)
class TableSummary:
    """What expectations see of one table.

    facts: its entry in the view `tables`; columns: its rows of the view `columns`; prints:
    fingerprints of its rows `(rows,)`; collisions: how often two rows would be equal by chance.
    """

    facts: dict[str, object]
    columns: pd.DataFrame
    prints: NDArray[np.uint64]
    collisions: float


def summarise(frame: pd.DataFrame, name: str, schema: Schema) -> TableSummary:
    """Summary of one table, without what depends on the other tables."""
    expected = [*schema.features, schema.label]
    facts: dict[str, object] = {
        "table": name,
        "rows": float(len(frame)),
        **columns_facts(frame, expected),
        **{kind: share_of(mask) for kind, mask in label_masks(frame, schema).items()},
    }
    columns = summarise_columns(frame[[c for c in schema.features if c in frame.columns]])
    columns.insert(0, "table", name)
    return TableSummary(
        facts,
        columns,
        fingerprints(frame, schema.features),
        collision_rate(frame, schema.features),
    )


def columns_facts(frame: pd.DataFrame, expected: Sequence[str]) -> dict[str, object]:
    """Names of columns that a table lacks, or has beside those that are expected."""
    missing = [c for c in expected if c not in frame.columns]
    unexpected = [str(c) for c in frame.columns if c not in expected]
    return {
        "missing_columns": ", ".join(missing[:5]) or None,
        "unexpected_columns": ", ".join(unexpected[:5]) or None,
    }


def summarise_columns(features: pd.DataFrame) -> pd.DataFrame:
    """One row for each column: shares of cells that are `text`, `missing` or `infinite`, and
    `minimum`, `maximum`, `mean` and `std` of the finite numbers.
    """
    numeric = [is_numeric_dtype(kind) for kind in features.dtypes]
    parts = [_summary_of(features.loc[:, numeric])]
    parts += [_summary_of(features[[c]]) for c in features.columns[~np.array(numeric, bool)]]
    return pd.concat(parts).loc[features.columns].reset_index(names="column")


def _summary_of(features: pd.DataFrame) -> pd.DataFrame:
    """The same by column, for columns of numbers, or for a single one of any kind."""
    numbers, masks = cells_of(features)
    shares = {kind: mask.mean(axis=0) if len(mask) else 0.0 for kind, mask in masks.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of columns without a number
        moments = {
            "minimum": np.nanmin(numbers, axis=0, initial=np.inf),
            "maximum": np.nanmax(numbers, axis=0, initial=-np.inf),
            "mean": np.nanmean(numbers, axis=0),
            "std": np.nanstd(numbers, axis=0),
        }
    out = pd.DataFrame({**shares, **moments}, index=features.columns)
    return out.replace([np.inf, -np.inf], np.nan)


def cells_of(features: pd.DataFrame) -> tuple[NDArray[np.float64], Masks]:
    """Finite numbers `(rows, columns)`, NaN elsewhere, and which cells are `text`, `missing` or
    `infinite` (beyond float32); of several columns all must be of numbers.
    """
    if all(is_numeric_dtype(kind) for kind in features.dtypes):
        numbers = features.to_numpy(dtype=float, na_value=np.nan)
        missing = np.isnan(numbers)
        text = np.zeros(numbers.shape, dtype=bool)
    else:
        raw = features.iloc[:, 0].astype(object)
        missing = raw.isna().to_numpy()[:, None]
        numbers = pd.to_numeric(raw, errors="coerce").to_numpy(dtype=float)[:, None]
        written = raw.map(lambda cell: isinstance(cell, str)).to_numpy(dtype=bool)[:, None]
        text = ~missing & (written | np.isnan(numbers))
    finite = np.abs(numbers) <= LARGEST  # false for NaN too
    infinite = ~missing & ~text & ~finite
    return np.where(finite & ~text, numbers, np.nan), {
        "text": text,
        "missing": missing,
        "infinite": infinite,
    }


def label_masks(frame: pd.DataFrame, schema: Schema) -> Masks:
    """Rows `(rows,)` whose label is missing, or neither a known class nor a finite number."""
    if schema.label not in frame.columns:
        return {"label_missing": np.zeros(0, bool), "label_unknown": np.zeros(0, bool)}
    label = frame[schema.label]
    missing = label.isna().to_numpy()
    if schema.task == "classification":
        known = label.isin(range(len(schema.classes))).to_numpy()
    else:
        known = ~np.isnan(cells_of(frame[[schema.label]])[0][:, 0])
    return {"label_missing": missing, "label_unknown": ~missing & ~known}


def row_index(summaries: Mapping[str, TableSummary]) -> RowIndex:
    """Where the rows of all tables stand, by name."""
    return RowIndex(
        {name: summary.prints for name, summary in summaries.items()},
        {name: summary.collisions for name, summary in summaries.items()},
    )


def share_of(mask: NDArray[np.bool_]) -> float:
    """Share of rows that are of a kind; 0 where there is none."""
    return float(mask.mean()) if len(mask) else 0.0
