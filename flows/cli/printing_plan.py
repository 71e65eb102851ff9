"""What `unshapley plan` prints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flows.cli.printing import add_column, console, new_table
from unshapley.valuing.forecasting import Forecast
from unshapley.valuing.piloting import Pilot

COLUMNS = (
    "coalitions", "time", "memory", "half-width", "largest", "by sampling", "by test set",
    "pairs told apart",
)  # fmt: skip


def print_plan(pilot: Pilot, budgets: Sequence[int], forecasts: Sequence[Forecast]) -> None:
    """A row a budget, and in a sentence what a larger one would gain."""
    out = console()
    utility, players = pilot.measured.measured.primary, len(pilot.game.players)
    table = new_table(f"Valuation of {players} providers for {utility}, as it would be")
    for column in COLUMNS:
        add_column(table, column)
    for entry in forecasts:
        table.add_row(
            f"{entry.coalitions:,}",
            duration(entry.total),
            f"{entry.memory_mb:.0f} MiB",
            f"± {np.median(entry.half_widths):.4f}",
            f"± {entry.half_widths.max():.4f}",
            f"{entry.sampling:.4f}",
            f"{entry.test:.4f}",
            f"{entry.told_apart:.0%}",
        )
    out.print(table)
    name, *options = pilot.unlearner.described()
    stated = options[0] if options and isinstance(options[0], dict) else {}
    method = "retrain" if (stated.get("retrain_below") or 0) >= 1 else stated.get("method")
    out.print(
        f"By a pilot of {len(pilot.measured.plan.coalitions)} coalitions in "
        f"{duration(pilot.seconds)}, unlearner {name}{f' ({method})' if method else ''}; within a "
        "factor of two. Half-width: of the 95 % intervals, median and largest; beside it the "
        "standard errors by sampling coalitions and by the finite test set.",
        soft_wrap=True,
    )
    out.print(advice(budgets, forecasts), soft_wrap=True)


def advice(budgets: Sequence[int], forecasts: Sequence[Forecast]) -> str:
    """What a larger budget would gain."""
    if not any(entry.sampling for entry in forecasts):
        return "All coalitions are measured: only more test rows would make intervals narrower."
    for budget, entry in zip(budgets, forecasts, strict=True):
        if 2 * entry.sampling < entry.test:
            return (
                f"From {budget:,} coalitions on, the finite test set makes most of the error: only "
                "more test rows would make intervals much narrower."
            )
    return "More coalitions make intervals narrower: the error is mostly that of sampling."


def duration(seconds: float) -> str:
    """Seconds below two minutes, minutes below two hours, else hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
