"""Plots of a valuation as SVG text: the same numbers give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from unshapley.results.report.drawing import (
    BLUE,
    GREY,
    INK,
    RED,
    as_svg,
    new_figure,
    palette,
    styled,
)

SHOWN = 40
"""Most providers that a plot names: of more, half are the largest values, half the smallest."""


def bars(table: pd.DataFrame, utility: str) -> str:
    """Value of every provider with its 95 % interval, largest on top."""
    return as_svg(draw_bars(table, utility))


def bars_png(table: pd.DataFrame, utility: str) -> bytes:
    """The same plot as PNG, for programs that cannot show SVG."""
    out = io.BytesIO()
    draw_bars(table, utility).savefig(out, format="png", dpi=110)
    return out.getvalue()


def errors_by_share(
    errors: Mapping[str, Sequence[float | None]],
    bins: Sequence[str],
    floor: Sequence[float | None],
) -> str:
    """Error of the utilities by share of rows forgotten: one line for each unlearner.

    The legend begins with the best unlearner. The band is the noise of retraining. A share without
    coalitions has no point.
    """
    drawn = {n: [float("nan") if e is None else e for e in line] for n, line in errors.items()}
    known = [n for n, line in errors.items() if any(e is not None for e in line)]
    known.sort(key=lambda n: max(e for e in errors[n] if e is not None))
    with styled():
        figure, axes = new_figure(8.6, 0.24 * len(known) + 2.6)
        noise = [float("nan") if e is None else e for e in floor]
        if any(e is not None for e in floor):
            axes.fill_between(range(len(bins)), 0, noise, color=GREY, alpha=0.35, lw=0)
            axes.plot(range(len(bins)), noise, color=GREY, ls="--", lw=1, label="noise floor")
        marks = "osD^v"
        for i, (name, color) in enumerate(zip(known, palette(len(known)), strict=True)):
            line = {"color": color, "marker": marks[i // 10 % len(marks)], "lw": 1.2, "ms": 4}
            axes.plot(range(len(bins)), drawn[name], label=name, **line)
        axes.set_xticks(range(len(bins)), bins)
        axes.set_yscale("symlog", linthresh=_smallest(errors.values()))
        axes.set_ylim(bottom=0)
        axes.set_xlabel("share of the training rows that is forgotten")
        axes.set_ylabel("error of the utility (RMSE)")
        figure.legend(loc="outside right center", frameon=False, fontsize=8)
        return as_svg(figure)


def curves(table: pd.DataFrame, utility: str) -> str:
    """Utility while providers are removed or added: most valuable first, least valuable first,
    and in random order.

    table: as `Curves.table` returns it. The band is a standard deviation of the random orders.
    """
    with styled():
        figure, both = new_figure(9.2, 3.9, columns=2)
        for axes, direction in zip(both, ("remove", "add"), strict=True):
            part = table[table["direction"] == direction]
            _draw_orders(axes, part.pivot_table(index="step", columns="order", values="utility"))
            axes.set_xlabel(f"providers {'removed' if direction == 'remove' else 'added'}")
            axes.xaxis.get_major_locator().set_params(integer=True)
        both[0].set_ylabel(utility)
        both[1].sharey(both[0])
        handles, labels = both[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
        return as_svg(figure)


def _draw_orders(axes: Any, lines: pd.DataFrame) -> None:
    random = lines[[name for name in lines.columns if name.startswith("random")]]
    mean, spread = random.mean(axis=1), random.std(axis=1)
    band = {"color": GREY, "alpha": 0.35, "lw": 0, "label": "± standard deviation"}
    axes.plot(mean.index, mean, color=GREY, ls="--", lw=1.2, label="random order, mean")
    axes.fill_between(mean.index, mean - spread, mean + spread, **band)
    for name, color in (("most_valuable_first", BLUE), ("least_valuable_first", RED)):
        label = name.replace("_", " ")
        axes.plot(lines.index, lines[name], color=color, marker="o", ms=3, lw=1.4, label=label)


def _smallest(lines: Iterable[Sequence[float | None]]) -> float:
    """The smallest error that is not 0, at least a thousandth of the largest; 1 without errors."""
    errors = [e for line in lines for e in line if e]
    return max(min(errors), max(errors) / 1000) if errors else 1.0


def draw_bars(table: pd.DataFrame, utility: str) -> Any:
    """The same plot as a figure of matplotlib."""
    with styled():
        every = table.dropna(subset=["value"]).sort_values("value")
        valued = _named(every)
        figure, axes = new_figure(7.6, 1.1 + 0.27 * len(valued))
        colors = [BLUE if value >= 0 else RED for value in valued["value"]]
        axes.barh(valued["provider"], valued["value"], color=colors, height=0.66)
        spread = [valued["value"] - valued["ci_low"], valued["ci_high"] - valued["value"]]
        axes.errorbar(
            valued["value"],
            range(len(valued)),
            xerr=spread,
            fmt="none",
            ecolor=INK,
            elinewidth=1,
            capsize=2.5,
        )
        axes.axvline(0, color=GREY, lw=0.8)
        axes.set_xlabel(f"value ({utility}) with 95 % interval")
        axes.margins(y=0.02)
        if len(every) > len(valued):
            title = f"the {SHOWN // 2} largest and {SHOWN // 2} smallest of {len(every)} values"
            axes.set_title(title, fontsize=10, loc="left")
        return figure


def _named(ordered: pd.DataFrame) -> pd.DataFrame:
    """The rows of providers that a plot names: the first and the last of an ordered table."""
    if len(ordered) <= SHOWN:
        return ordered
    return pd.concat([ordered[: SHOWN // 2], ordered[-SHOWN // 2 :]])
