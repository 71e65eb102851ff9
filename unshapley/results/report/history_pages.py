"""Pages about more than one valuation: all of a history, and two side by side.

They take what `describe` of unshapley.analysis.history and .comparison gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unshapley.results.report.drawing import (
    BLUE,
    GREY,
    INK,
    RED,
    as_svg,
    name_ends,
    new_figure,
    palette,
    styled,
    zero_line,
)
from unshapley.results.report.rendering import picture, render

NAMED = 40
"""Most providers that a picture shows: of more, those with the largest values or differences."""


def history_page(valuations: Sequence[Mapping[str, Any]]) -> str:
    """Valuations over time as HTML: a picture of the values, a table, and what changed in each."""
    readable = [valuation for valuation in valuations if "values" in valuation]
    utility = readable[-1]["utility"] if readable else ""
    drawn = [valuation for valuation in readable if valuation["utility"] == utility]
    return render(
        "history.html.j2",
        valuations=valuations,
        utility=utility,
        left_out=len(readable) - len(drawn),
        lines=picture(values_over_time(drawn)) if len(drawn) > 1 else None,
    )


def comparison_page(comparison: Mapping[str, Any]) -> str:
    """Two valuations side by side as HTML."""
    compared = [row for row in comparison["values"] if row["difference"] is not None]
    return render(
        "comparison.html.j2",
        comparison=comparison,
        sides={"A": comparison["before"], "B": comparison["after"]},
        bars=picture(differences(compared, comparison["after"]["utility"])) if compared else None,
    )


def values_over_time(valuations: Sequence[Mapping[str, Any]]) -> str:
    """Value of each provider in each valuation, with its 95 % interval as a band, the newest last.

    Dotted lines stand where the model changed. Valuations stand at equal distances, as many can be
    made in an hour and none in a week.
    """
    lines = _lines(valuations)
    with styled():
        figure, axes = new_figure(8.6, 4.8)
        names = sorted(lines, key=lambda name: -abs(lines[name][-1][1]))[:NAMED]
        ends = []
        for name, color in zip(names, palette(len(names)), strict=True):
            positions, values, low, high = zip(*lines[name], strict=True)
            axes.plot(positions, values, color=color, lw=1.3, marker="o", ms=2.5)
            axes.fill_between(positions, low, high, color=color, alpha=0.07, lw=0)
            if positions[-1] == len(valuations) - 1:
                ends.append((values[-1], name, color))
        zero_line(axes)
        for at, valuation in enumerate(valuations):
            if any(change["kind"] == "model" for change in valuation["changes"] or ()):
                axes.axvline(at, color=GREY, lw=0.8, ls=":", zorder=0)
        _name_positions(axes, valuations)
        name_ends(axes, ends, len(valuations) - 1)
        axes.set_ylabel(f"value ({valuations[-1]['utility']})")
        return as_svg(figure)


def differences(rows: Sequence[Mapping[str, Any]], utility: str) -> str:
    """Left the values before and after; right their differences with 95 % intervals."""
    drawn = sorted(sorted(rows, key=lambda row: -abs(row["difference"]))[:NAMED],
                   key=lambda row: row["difference"])  # fmt: skip
    with styled():
        figure, (left, right) = new_figure(8.6, 1.3 + 0.27 * len(drawn), columns=2)
        positions = range(len(drawn))
        for side, color in (("before", GREY), ("after", BLUE)):
            values = [row[f"value_{side}"] for row in drawn]
            left.scatter(
                values, positions, color=color, s=26, zorder=2, label="AB"[side == "after"]
            )
        left.legend(frameon=False, fontsize=8, loc="lower right")
        left.set_yticks(list(positions), [row["provider"] for row in drawn])
        left.set_xlabel(f"value ({utility})")
        for at, row in enumerate(drawn):
            color = {"beyond noise": RED, "on this test set": BLUE}.get(row["finding"], INK)
            right.plot([row["difference"]], [at], "o", color=color, ms=4)
            if row["ci_low"] is not None:
                right.plot([row["ci_low"], row["ci_high"]], [at, at], color=color, lw=1.2)
        right.axvline(0, color=GREY, lw=0.8)
        right.set_yticks([])
        right.set_xlabel("B − A with 95 % interval")
        return as_svg(figure)


def _lines(valuations: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[float, ...]]]:
    """Place, value and interval by provider; a value without an interval has one of no width."""
    lines: dict[str, list[tuple[float, ...]]] = {}
    for at, valuation in enumerate(valuations):
        for provider in valuation["values"]:
            value = provider["value"]
            if value is not None:
                ends = (
                    value if provider[k] is None else provider[k] for k in ("ci_low", "ci_high")
                )
                lines.setdefault(provider["provider"], []).append((at, value, *ends))
    return lines


def _name_positions(axes: Any, valuations: Sequence[Mapping[str, Any]]) -> None:
    """Write date and commit of some valuations, the newest among them, below the axis."""
    step = -(-len(valuations) // 9)
    positions = list(range(len(valuations) - 1, -1, -step))
    names = [
        f"{valuation['date'][:10]}\n{valuation['commit'][:8]}" if valuation["commit"] else "now"
        for valuation in (valuations[position] for position in positions)
    ]
    axes.set_xticks(positions, names, fontsize=7, rotation=30, ha="right")
