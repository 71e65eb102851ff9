"""Pictures of values, of their convergence and of fidelity."""

from __future__ import annotations

import pandas as pd

from unshapley.game.removals import LEAST, MOST
from unshapley.results.removal import RANDOM_MEAN
from unshapley.results.report.charts import (
    BLUE,
    GREY,
    NAMED,
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
from unshapley.results.report.sections import FINDINGS, finding

TRACED = 10
"""Most providers that the picture of convergence gives a colour each."""
COLOURS = {"helps": BLUE, "harms": RED, "unclear": GREY, "unknown": GREY}
COALITION = "coalition"
AXES = {"retrained": "utility after retraining", "unlearned": "utility after unlearning"}
FIDELITY = {COALITION: BLUE, "agreement": GREY, "no unlearning": RED}
REMOVAL_ORDERS = {
    MOST: "most valuable first",
    LEAST: "least valuable first",
    RANDOM_MEAN: "random orders, mean",
}
ORDERED = (BLUE, RED, GREY)
HEIGHT = 320
NOT_FROM_ZERO: Spec = {"scale": {"zero": False}}


def values(table: pd.DataFrame, utility: str) -> Chart:
    """Value of every provider with its 95 % interval, the largest first."""
    valued = table.dropna(subset=["value"]).sort_values("rank")
    kinds = [finding(row) for row in valued.to_dict("records")]
    data = valued[["provider", "rank", "value", "ci_low", "ci_high"]]
    colours = {FINDINGS[kind]: COLOURS[kind] for kind in COLOURS if kind in kinds}
    few = len(data) <= NAMED
    along, across = ("y", "x") if few else ("x", "y")
    title = f"value ({utility})"
    point, rule = ({"size": 60}, {"strokeWidth": 3}) if few else ({"size": 14}, {"strokeWidth": 1})
    interval = {across: number("ci_low", title), f"{across}2": {"field": "ci_high"}}
    return chart(
        "values",
        "Value of every provider, the largest first, with its 95 % interval.",
        data.assign(finding=[FINDINGS[kind] for kind in kinds]),
        height=20 * len(data) if few else HEIGHT,
        encoding={
            along: {"field": "provider", "sort": None, "title": None}
            if few
            else number("rank", "rank", **NOT_FROM_ZERO),
            "color": category("finding", colours),
            "tooltip": tooltip(
                "provider", "finding", rank="d", value=".4f", ci_low=".4f", ci_high=".4f"
            ),
        },
        layer=[
            {"mark": {"type": "rule", "opacity": 0.45, **rule}, "encoding": interval},
            {
                "mark": {"type": "point", "filled": True, "opacity": 1, **point},
                "encoding": {across: number("value", title)},
            },
        ],
    )


def convergence(history: pd.DataFrame, table: pd.DataFrame) -> Chart:
    """Estimates against measured coalitions; a few providers have a colour, the others are grey."""
    names, half = named(table), TRACED // 2
    coloured = names if len(names) <= TRACED else [*names[:half], *names[-half:]]
    data = history[history["provider"].isin(names)]
    colour = {
        "test": "isValid(datum.traced)",
        "field": "traced",
        "scale": {"domain": coloured, "scheme": "tableau10"},
    }
    pointed = {"type": "point", "fields": ["provider"], "on": "pointerover"}
    return chart(
        "convergence",
        "Estimate of each value while coalitions were measured: a line that has become level has "
        "settled. Point at a line to see whose it is." + of_how_many(names, table),
        data.assign(traced=data["provider"].where(data["provider"].isin(coloured))),
        height=HEIGHT,
        mark={"type": "line", "strokeWidth": 1.5},
        params=[{"name": "pointed", "select": pointed}],
        encoding={
            "x": number("coalitions", "measured coalitions"),
            "y": number("value", "value so far", **NOT_FROM_ZERO),
            "detail": {"field": "provider"},
            "color": {"condition": colour, "value": GREY},
            "opacity": {"condition": {"param": "pointed", "value": 1}, "value": 0.15},
            "tooltip": tooltip("provider", coalitions="d", value=".4f"),
        },
    )


def removal(table: pd.DataFrame, utility: str) -> Chart:
    """Utility while providers are removed in the order of their values, and in random orders."""
    share = float(table["measured"].mean())
    how = "All of it was measured."
    if share < 1:
        how = (
            f"{100 * share:.0f} % of it was measured, the rest is predicted from what was measured "
            "(hollow points); the command unshapley curves retrains instead."
        )
    data = table.assign(order=table["order"].map(REMOVAL_ORDERS))
    return chart(
        "removal",
        "Utility while providers are removed: the lower the line of the most valuable first lies "
        "below that of random orders, the more the values say. " + how,
        data,
        height=HEIGHT,
        encoding={
            "x": number("step", "providers removed"),
            "y": number("utility", utility, **NOT_FROM_ZERO),
            "color": category("order", dict(zip(REMOVAL_ORDERS.values(), ORDERED, strict=True))),
            "tooltip": tooltip("order", "provider", step="d", utility=".4f", measured=".0%"),
        },
        layer=[
            {"mark": {"type": "line", "strokeWidth": 1.5}},
            _points("datum.measured == 1", filled=True),
            _points("datum.measured < 1", filled=False),
        ],
    )


def _points(condition: str, *, filled: bool) -> Spec:
    mark = {"type": "point", "size": 30, "opacity": 1, "filled": filled}
    return {"transform": [{"filter": condition}], "mark": mark}


def fidelity(table: pd.DataFrame) -> Chart:
    """Unlearned against retrained utility; they are equal on the line of agreement."""
    both = pd.concat([table["retrained"], table["unlearned"]])
    return chart(
        "fidelity",
        "Utility of coalitions after unlearning against that after real retraining: the closer to "
        "the line of agreement, the better. Larger points: more providers.",
        table.assign(what=COALITION),
        height=HEIGHT,
        encoding={"color": category("what", FIDELITY)},
        layer=[
            _agreement(float(both.min()), float(both.max())),
            _unchanged(float(table["no_unlearning"].iloc[0])),
            {
                "mark": {"type": "point", "filled": True, "opacity": 0.75},
                "encoding": {
                    **_axes(),
                    "size": number("size", legend=None, scale={"range": [30, 200]}),
                    "tooltip": tooltip("coalition", size="d", retrained=".4f", unlearned=".4f"),
                },
            },
        ],
    )


def _agreement(low: float, high: float) -> Spec:
    ends = [{"retrained": end, "unlearned": end, "what": "agreement"} for end in (low, high)]
    return {
        "data": {"values": ends},
        "mark": {"type": "line", "strokeDash": [4, 3]},
        "encoding": _axes(),
    }


def _axes() -> Spec:
    return {
        axis: number(field, title, **NOT_FROM_ZERO)
        for axis, (field, title) in zip("xy", AXES.items(), strict=True)
    }


def _unchanged(utility: float) -> Spec:
    return {
        "data": {"values": [{"unlearned": utility, "what": "no unlearning"}]},
        "mark": "rule",
        "encoding": {"y": _axes()["y"]},
    }
