"""Heat maps of the report: providers against providers, providers against sources of test rows."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from unshapley.results.report.charts import (
    BLUE,
    LINE,
    NAMED,
    PAPER,
    RED,
    Chart,
    Spec,
    category,
    chart,
    named,
    number,
    of_how_many,
    tooltip,
)

STRENGTH = number("strength", scale={"domainMin": 0, "range": [0, 1]}, legend=None)
"""The larger the amount, the stronger the colour."""


def order(table: pd.DataFrame, differences: pd.DataFrame) -> Chart:
    """Who is worth more than whom beyond noise: rows against columns."""
    names = named(table)
    kept = _between(names, differences).drop(columns="std_error")
    mirrored = _mirrored(kept).assign(
        difference=-kept["difference"],
        ci_low=-kept["ci_high"],
        ci_high=-kept["ci_low"],
        probability=1 - kept["probability"],
    )
    data = pd.concat([kept, mirrored]).assign(finding="cannot be told")
    data.loc[data["ci_low"] > 0, "finding"] = "row is worth more"
    data.loc[data["ci_high"] < 0, "finding"] = "row is worth less"
    return _matrix(
        "order",
        "Blue: the row is worth more than the column, beyond noise; red: less. Grey: the 95 % "
        "interval of the difference of the two values holds 0."
        + of_how_many(names, table),
        data,
        (names, names),
        {
            "row is worth more": BLUE,
            "row is worth less": RED,
            "cannot be told": LINE,
        },
        {"value": 0.9},
        tooltip(
            "provider", "other", "finding", difference=".4f", ci_low=".4f", ci_high=".4f",
            probability=".3f",
        ),
    )  # fmt: skip


def interactions(table: pd.DataFrame, pairs: pd.DataFrame) -> Chart:
    """Which providers are redundant to each other, and which complete each other."""
    names, note = named(table), ""
    if len(names) < table["value"].notna().sum():
        strength = -pairs["interaction"].abs()
        strongest = pairs.loc[strength.sort_values(kind="stable").index]
        both = strongest[["provider", "other"]].to_numpy().ravel()
        chosen = list(dict.fromkeys(both))[:NAMED]
        names = list(table[table["provider"].isin(chosen)].sort_values("rank")["provider"])
        note = f" Shown are the {len(names)} providers of the strongest pairs."
    kept = _between(names, pairs)
    data = pd.concat([kept, _mirrored(kept)])
    data["finding"] = ["redundant" if v < 0 else "complementary" for v in data["interaction"]]
    data["strength"] = data["interaction"].abs()
    return _matrix(
        "interactions",
        "Pairwise interactions; the stronger the colour, the larger. Red: redundant, each is worth "
        "less when the other is present. Blue: complementary, each is worth more." + note,
        data,
        (names, names),
        {"redundant": RED, "complementary": BLUE},
        STRENGTH,
        tooltip("provider", "other", "finding", interaction=".4f", std_error=".4f"),
    )


def test_sources(table: pd.DataFrame, by_source: pd.DataFrame) -> Chart:
    """What every provider is worth on the test rows of one source only."""
    names = named(table)
    kept = by_source[by_source["provider"].isin(names)]
    sources = list(dict.fromkeys(kept["source"]))
    data = kept.rename(columns={"source": "other"})
    data["finding"] = ["harms" if v < 0 else "helps" for v in data["value"]]
    data["strength"] = data["value"].abs()
    return _matrix(
        "test_sources",
        "Value of each provider (row) on the test rows of one source (column) only; the stronger "
        "the colour, the larger. Who helps only where its own rows judge, stands out."
        + of_how_many(names, table),
        data,
        (names, sources),
        {"helps": BLUE, "harms": RED},
        STRENGTH,
        tooltip("provider", "other", "finding", value=".4f", rows="d"),
    )


def _between(names: Sequence[str], pairs: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table of pairs whose two providers are both named."""
    return pairs[pairs["provider"].isin(names) & pairs["other"].isin(names)]


def _mirrored(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs.rename(columns={"provider": "other", "other": "provider"})


def _matrix(
    name: str,
    caption: str,
    data: pd.DataFrame,
    names: tuple[Sequence[str], Sequence[str]],
    colours: dict[str, str],
    opacity: Spec,
    tip: list[Spec],
) -> Chart:
    """A heat map with a row for each `provider` and a column for each `other`, as `names` has them;
    colours: by `finding`.
    """
    rows, columns = map(list, names)
    axis = {"labelAngle": -60, "labelLimit": 110, "orient": "bottom"}
    return chart(
        name,
        caption,
        data,
        height=18 * len(rows),
        mark={"type": "rect", "stroke": PAPER, "strokeWidth": 1},
        encoding={
            "y": {"field": "provider", "title": None, "scale": {"domain": rows}},
            "x": {"field": "other", "title": None, "axis": axis, "scale": {"domain": columns}},
            "color": category("finding", colours),
            "opacity": opacity,
            "tooltip": tip,
        },
    )
