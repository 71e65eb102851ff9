"""Tables for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from flows.cli.common import escape

if TYPE_CHECKING:
    import pandas as pd

    from unshapley.analysis.payout import Payout
    from unshapley.fidelity.benchmark import UnlearnerRow
    from unshapley.results.published import Published

WIDTH = 10_000
"""Columns where the output is no terminal: nothing is wrapped for a program."""


def print_valuation(summary: Mapping[str, Any]) -> None:
    """Print the last valuation, as `analysis.summary.summarize_valuation` gives it."""
    out, figures = console(), summary["metrics"]
    unit = f" ({summary['unit']})" if "unit" in summary else ""
    table = new_table(f"Values for {figures['utility']}{unit}")
    for column in ("rank", "provider", "rows", "value", "± std. error", "95 % interval", "status"):
        add_column(table, column, left=("provider", "status"))
    for row in sorted(summary["values"], key=lambda r: r["rank"] or 10**9):
        numbers = ["", "", ""]
        if row["value"] is not None:
            numbers = [f"{row['value']:.4f}", "unknown", "unknown"]
        if row["std_error"] is not None:
            error, low, high = (row[k] for k in ("std_error", "ci_low", "ci_high"))
            numbers[1:] = [f"{error:.4f}", f"{low:.4f} … {high:.4f}"]
        rank = "" if row["rank"] is None else str(row["rank"])
        table.add_row(rank, escape(str(row["provider"])), str(row["rows"]), *numbers, row["status"])
    out.print(table)
    out.print(f"[bold]{escape(' '.join(summary['conclusion']))}[/]", soft_wrap=True)
    if "rows" in summary:
        out.print(summary["rows"], soft_wrap=True)
    _print_figures(out, figures)
    if "model" in summary:
        out.print(f"the model was {escape(summary['model'])}", soft_wrap=True)
    if "detection" in summary:
        from unshapley.analysis.detection import sentence

        out.print(escape(sentence(summary["detection"])), soft_wrap=True)
    if "copies" in summary:
        from unshapley.analysis.detection import sentence_of_copies

        out.print(escape(sentence_of_copies(summary["copies"])), soft_wrap=True)
    if "refused" in summary:
        out.print(f"[bold red]warning:[/] {escape(summary['refused'])}", soft_wrap=True)
    out.print(f"report: {escape(summary['report'])}", soft_wrap=True)


def _print_figures(out: Console, figures: Mapping[str, Any]) -> None:
    check, total = figures["fidelity"], figures["sum_of_values"]
    gap = abs(total - (figures["u_all"] - figures["u_none"]))
    relation = "=" if gap < 1e-6 * max(1.0, abs(total)) else "≠"
    out.print(
        f"sum {total:.6f} {relation} U(all) {figures['u_all']:.6f} "
        f"− U(none) {figures['u_none']:.6f}, {figures['coalitions']} coalitions"
    )
    line = f"fidelity {check['status']}"
    grade = check.get("grade")  # valuations of before 0.2 have none
    if check["rmse"] is None:
        line += f": {check.get('reason') or 'no coalition was retrained to check these values'}"
    else:
        line += (
            f": error against retraining {check['rmse']:.4f}, "
            f"without unlearning {check['rmse_no_unlearning']:.4f}"
        )
        line += f"; grade {grade}" if grade else ""
    out.print(line)
    if check.get("implied"):
        out.print(_implied(check), soft_wrap=True)
    if grade == "extremes" or check["weak"]:
        out.print(
            f"[bold red]warning:[/] unlearning explains only {check['explained']:.0%} of what "
            "forgetting does; compare with valuation.unlearner: retrain"
        )
    _warn_of_judges(out, figures)


def _warn_of_judges(out: Console, figures: Mapping[str, Any]) -> None:
    judges = figures.get("providers_judging")  # valuations of before 0.2 do not say
    if judges and judges == figures["providers_valued"]:
        from unshapley.data.preparation import OWN_TEST_ROWS

        out.print(f"[bold red]warning:[/] {OWN_TEST_ROWS}", soft_wrap=True)


def _implied(check: Mapping[str, Any]) -> str:
    """What the fidelity check implies for the values, in words."""
    from unshapley.results.published import GRADES

    values = check["implied"]
    text = f"{GRADES[check['grade']]}: relative error of the values {_span(values['rel_l2'])}"
    if values["rel_l2_other_seed"]:
        text += f", of another retraining {_span(values['rel_l2_other_seed'])}"
    if values["spearman"]:
        text += f"; rank correlation {_span(values['spearman'])}"
    return text


def _span(figure: Mapping[str, float]) -> str:
    return f"{figure['expected']:.2g} ({figure['low']:.2g} … {figure['high']:.2g})"


def print_payouts(
    payouts: Sequence[Payout], published: Published, budget_file: Path | None
) -> None:
    """Print who gets what; budget_file: where the table was written too."""
    out = console()
    table = new_table(f"Payout by values for {published.utility}")
    for column in ("provider", "value", "share", "95 % interval", "payout", "note"):
        add_column(table, column, left=("provider", "note"))
    for payout in sorted(payouts, key=lambda p: (-p.payout, p.value is None, p.provider)):
        numbers = ["", "", ""]
        if payout.value is not None:
            span = f"{payout.share_low:.2%} … {payout.share_high:.2%}"
            numbers = [f"{payout.value:.4f}", f"{payout.share:.2%}", span]
        table.add_row(escape(payout.provider), *numbers, f"{payout.payout:f}", payout.note)
    out.print(table)
    out.print(f"sum {sum(payout.payout for payout in payouts):f}")
    if published.warning:
        out.print(f"[bold red]warning:[/] {published.warning}")
    if budget_file:
        out.print(f"written: {escape(str(budget_file))}", soft_wrap=True)


def print_seeds(values: pd.DataFrame, title: str) -> None:
    """Print values over several models."""
    table = new_table(f"Values for {title}")
    for column in ("provider", "value", "95 % interval", "own error", "seeds error"):
        add_column(table, column, left=("provider",))
    rows: Any = values.sort_values("rank").itertuples()
    for row in rows:
        span = f"{row.ci_low:.4f} … {row.ci_high:.4f}"
        errors = f"{row.within_error:.4f}", f"{row.seeds_error:.4f}"
        table.add_row(escape(row.provider), f"{row.value:.4f}", span, *errors)
    console().print(table)


def print_benchmark(rows: Sequence[UnlearnerRow], folder: Path) -> None:
    """Print unlearners beside real retraining."""
    out = console()
    table = Table(box=None, padding=(0, 1, 0, 0))
    add_column(table, "unlearner", left=("unlearner",))
    heads = ("rmse", "noise floor", "Spearman", "± seeds", "relative L2", "± seeds", "cost")
    for name in heads:
        add_column(table, name)
    for row in rows:
        figures = [
            row.rmse,
            row.noise_floor,
            row.spearman,
            row.spearman_std,
            row.rel_l2,
            row.rel_l2_std,
        ]
        cost = "–" if row.cost_share is None else f"{row.cost_share:.1%}"
        texts = ("–" if figure is None else short(figure) for figure in figures)
        table.add_row(f"{row.unlearner}{' (control)' if row.control else ''}", *texts, cost)
    out.print(table)
    for row in rows:
        if row.reason:
            out.print(f"{row.unlearner}: {escape(row.reason)}", soft_wrap=True)
    out.print(f"written: {folder / 'fidelity.csv'}, {folder / 'fidelity.svg'}", soft_wrap=True)


def console() -> Console:
    """Where tables go; a program gets lines that are not wrapped."""
    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)


def new_table(title: str) -> Table:
    """An empty table."""
    return Table(title=escape(title), title_justify="left")


def add_column(table: Table, name: str, left: Sequence[str] = ()) -> None:
    """A column of text, which is folded where it is too long, or of numbers, which never are."""
    if name in left:
        table.add_column(name, justify="left", overflow="fold")
    else:
        table.add_column(name, justify="right", no_wrap=True)


def short(figure: float) -> str:
    """Three digits, without an exponent for large numbers."""
    return f"{figure:.0f}" if abs(figure) >= 1000 else f"{figure:.3g}"
