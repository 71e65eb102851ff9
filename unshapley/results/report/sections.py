"""What the tables of the report hold: the rows that the template writes down."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

WIDTH = 100
"""Of the small picture of an interval, in its own units."""
PAIRS = 100
"""Most pairs of providers that the report lists: of more, half are the most redundant ones, half
the most complementary ones."""
FINDINGS = {
    "helps": "helps",
    "harms": "harms",
    "unclear": "cannot be told",
    "unknown": "no error known",
    "quarantined": "quarantined",
}
"""What an interval says of a provider, by the name that the page's styles have for it."""


def value_rows(table: pd.DataFrame, quarantined: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows of values.csv by rank, each with its finding, its share of the sum of positive
    values, and its interval in units of the small picture.
    """
    total = table["value"].clip(lower=0).sum()
    ends = table[["value", "ci_low", "ci_high"]]
    low, high = min(0.0, ends.min().min()), max(0.0, ends.max().max())
    unit = WIDTH / (high - low) if high > low else 0.0
    rows = []
    for entry in table.sort_values("rank", na_position="last").to_dict("records"):
        row = {str(column): cell for column, cell in entry.items()}
        row["finding"] = finding(row)
        row["share"] = max(0.0, row["value"]) / total if row["value"] > 0 else 0.0
        row["reason"] = quarantined.get(row["provider"], "")
        drawn = (row["ci_low"], row["ci_high"])
        if pd.isna(row["ci_low"]):
            drawn = (row["value"], row["value"])
        row["at"] = {
            "zero": (0 - low) * unit,
            "value": (row["value"] - low) * unit,
            "low": (drawn[0] - low) * unit,
            "width": (drawn[1] - drawn[0]) * unit,
        }
        rows.append(row)
    return rows


def digits(values: pd.Series[float]) -> int:
    """Digits after the point that show at least three digits of the largest of these values."""
    largest = values.abs().max()
    if largest >= 1000:
        return 0
    return min(12, max(4, 2 - math.floor(math.log10(largest)))) if largest > 0 else 4


def finding(row: Mapping[Any, Any]) -> str:
    """A key of `FINDINGS`: whether the interval of a value is above zero, below it or neither."""
    if row["status"] != "valued":
        return "quarantined"
    if pd.isna(row["ci_low"]):  # this estimator gives no errors
        return "unknown"
    return "helps" if row["ci_low"] > 0 else "harms" if row["ci_high"] < 0 else "unclear"


def extreme_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """The first and the last of interactions.csv, if it has more than can be read."""
    if len(pairs) <= PAIRS:
        return pairs
    return pd.concat([pairs[: PAIRS // 2], pairs[-PAIRS // 2 :]])


def clearest_pairs(differences: pd.DataFrame) -> list[dict[Any, Any]]:
    """The rows of differences.csv that are most clearly apart, for their noise, each with who is
    worth more: the `first`, the `second`, or neither beyond noise.
    """
    apart = (differences["difference"] / differences["std_error"]).abs().fillna(0)
    chosen = apart.sort_values(ascending=False, kind="stable").index[:PAIRS]
    rows = differences.loc[chosen].to_dict("records")
    for row in rows:
        row["better"] = "first" if row["ci_low"] > 0 else "second" if row["ci_high"] < 0 else ""
    return rows


def findings_rows(validation: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What validation found in each table: those with findings first, critical ones before all."""
    rows = [
        {
            "examples": (),  # of tables of text
            **table,
            "met": sum(result["success"] for result in table["results"]),
            "finding": "critical" if table["critical"] else "warning" if table["warnings"] else "",
        }
        for table in validation
    ]
    return sorted(rows, key=lambda row: (not row["critical"], not row["warnings"]))
