"""Pictures of the report as Vega-Lite specifications with their data: equal numbers, equal text.

Colours are the page's CSS variables, so that pictures follow the reader's light or dark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

Spec = dict[str, Any]

NAMED = 40
"""Most providers that a picture names: of more, half are the largest values, half the smallest."""
DIGITS = 5
"""Significant digits of the numbers in pictures."""
INK, GREY, LINE = "var(--ink)", "var(--grey)", "var(--line)"
BLUE, RED, PAPER = "var(--blue)", "var(--red)", "var(--paper)"
CONFIG: Spec = {
    "background": None,
    "aria": False,  # the page describes each picture, and has its numbers as a table
    "font": 'system-ui, "Liberation Sans", "DejaVu Sans", sans-serif',
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "gridColor": LINE,
        "domainColor": GREY,
        "tickColor": GREY,
        "labelLimit": 150,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
    },
    "axisQuantitative": {"tickCount": 8},
    "legend": {
        "labelColor": INK,
        "titleColor": INK,
        "orient": "top",
        "labelFontSize": 11,
        "symbolOpacity": 1,
        "labelLimit": 130,
        "columns": 2,
        "title": None,
    },
}


@dataclass(frozen=True)
class Chart:
    """A picture: its name in file names, what it shows in words, and its specification."""

    name: str
    caption: str
    spec: Spec


def chart(name: str, caption: str, data: pd.DataFrame, **spec: Any) -> Chart:
    """A picture of `data`, as wide as its place in the page; spec: the rest of what it is."""
    whole = {
        "width": "container",
        "autosize": {"type": "fit-x", "contains": "padding"},
        "data": {"values": records(data)},
        "config": CONFIG,
        **spec,
    }
    return Chart(name, caption, whole)


def records(data: pd.DataFrame) -> list[Spec]:
    """The rows of a table, their numbers with `DIGITS` digits None if not finite."""
    rows = data.to_dict("records")
    return [{str(k): _rounded(v) for k, v in row.items()} for row in rows]


def _rounded(cell: Any) -> Any:
    if isinstance(cell, str):
        return cell
    if pd.isna(cell) or not math.isfinite(cell):
        return None
    return int(cell) if int(cell) == cell else float(f"{cell:.{DIGITS}g}")


def number(field: str, title: str | None = None, **more: Any) -> Spec:
    """How a column of numbers is encoded."""
    return {"field": field, "type": "quantitative", "title": title, **more}


def category(field: str, colours: dict[str, str], **more: Any) -> Spec:
    """How a column of words is encoded as colours."""
    scale = {"domain": list(colours), "range": list(colours.values())}
    return {"field": field, "type": "nominal", "scale": scale, **more}


def tooltip(*fields: str, **formats: str) -> list[Spec]:
    """What is said of what the pointer is on: columns of words, then numbers in their formats."""
    texts = [{"field": field, "type": "nominal"} for field in fields]
    return texts + [number(field, field, format=form) for field, form in formats.items()]


def named(table: pd.DataFrame) -> list[str]:
    """The providers that pictures name, by rank."""
    ordered = list(table.dropna(subset=["value"]).sort_values("rank")["provider"])
    if len(ordered) <= NAMED:
        return ordered
    return [*ordered[: NAMED // 2], *ordered[-NAMED // 2 :]]


def of_how_many(names: Sequence[str], table: pd.DataFrame) -> str:
    """What a caption adds where not all providers are shown; else nothing."""
    valued, half = int(table["value"].notna().sum()), NAMED // 2
    if len(names) == valued:
        return ""
    return f" Of {valued} providers, those with the {half} largest and {half} smallest values."
