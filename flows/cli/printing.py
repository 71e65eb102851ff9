"""Tables for the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from flows.cli.common import escape

if TYPE_CHECKING:
    import pandas as pd

    from unshapley.analysis.comparison import Comparison, ValueChange
    from unshapley.analysis.history import HistoryEntry
    from unshapley.analysis.payout import Payout
    from unshapley.fidelity.benchmark import UnlearnerRow
    from unshapley.project import Project
    from unshapley.results.published import Published, PublishedValue
    from unshapley.results.retention import Leftover

WIDTH = 10_000
"""Columns where the output is no terminal: nothing is wrapped for a program."""


def print_valuation(summary: Mapping[str, Any]) -> None:
    """Print the last valuation, as `analysis.summary.summarize_valuation` gives it."""
    out, figures = _console(), summary["metrics"]
    table = _table(f"Values for {figures['utility']}")
    for column in ("rank", "provider", "rows", "value", "± std. error", "95 % interval", "status"):
        _column(table, column, left=("provider", "status"))
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
    _print_figures(out, figures)
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
    out = _console()
    table = _table(f"Payout by values for {published.utility}")
    for column in ("provider", "value", "share", "95 % interval", "payout", "note"):
        _column(table, column, left=("provider", "note"))
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
    table = _table(f"Values for {title}")
    for column in ("provider", "value", "95 % interval", "own error", "seeds error"):
        _column(table, column, left=("provider",))
    rows: Any = values.sort_values("rank").itertuples()
    for row in rows:
        span = f"{row.ci_low:.4f} … {row.ci_high:.4f}"
        errors = f"{row.within_error:.4f}", f"{row.seeds_error:.4f}"
        table.add_row(escape(row.provider), f"{row.value:.4f}", span, *errors)
    _console().print(table)


def print_benchmark(rows: Sequence[UnlearnerRow], folder: Path) -> None:
    """Print unlearners beside real retraining."""
    out = _console()
    table = Table(box=None, padding=(0, 1, 0, 0))
    _column(table, "unlearner", left=("unlearner",))
    heads = ("rmse", "noise floor", "Spearman", "± seeds", "relative L2", "± seeds", "cost")
    for name in heads:
        _column(table, name)
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
        texts = ("–" if figure is None else _short(figure) for figure in figures)
        table.add_row(f"{row.unlearner}{' (control)' if row.control else ''}", *texts, cost)
    out.print(table)
    for row in rows:
        if row.reason:
            out.print(f"{row.unlearner}: {escape(row.reason)}", soft_wrap=True)
    out.print(f"written: {folder / 'fidelity.csv'}, {folder / 'fidelity.svg'}", soft_wrap=True)


def print_audit(summary: Mapping[str, Any]) -> None:
    """Print the outcome of an audit, as audit.json holds it."""
    out, checks = _console(), summary["checks"]
    table = _table(f"Audit of {summary['revision']['name']}: {summary['verdict']}")
    columns = ("step", "what", "outcome", "entries", "differ", "by at most", "allowed")
    for column in columns:
        _column(table, column, left=("step", "what", "outcome"))
    for check in checks:
        if check["outcome"] == "identical":
            continue
        size, allowed = (
            "" if check[name] is None else f"{check[name]:.2g}" for name in ("largest", "tolerance")
        )
        texts = escape(check["what"]), check["outcome"], str(check["compared"])
        table.add_row(check["step"], *texts, str(check["differing"] or ""), size, allowed)
    out.print(table)
    same = sum(check["outcome"] == "identical" for check in checks)
    out.print(f"identical: {same} more checks")
    for row in summary["differences"]:
        there, here = escape(row["recorded"]), escape(row["here"])
        out.print(f"other {row['name']}: recorded {there}, here {here}", soft_wrap=True)
    if summary["differences"] and summary["rebuild"]:
        out.print("the recorded code and versions, from a clone of unshapley:")
        for command in summary["rebuild"]:
            out.print(f"  {escape(command)}", soft_wrap=True)
    out.print(f"repeat: {escape(summary['repeat'])}", soft_wrap=True)
    out.print(f"written: {escape(summary['folder'])}", soft_wrap=True)


def print_history(entries: Sequence[HistoryEntry]) -> None:
    """Print valuations over time, the newest last."""
    table = _table("Valuations, the newest last")
    texts = ("when", "valuation", "who", "unlearner", "fidelity", "changed")
    heads = ("when", "valuation", "who", "score", "providers", "unlearner", "fidelity", "changed")
    for column in heads:
        _column(table, column, left=texts)
    for entry in entries:
        commit, valuation = entry.commit, entry.valuation
        when = f"{commit.date:%Y-%m-%d %H:%M}" if commit else "not committed"
        figures = ["", "", "", ""]
        if valuation is not None:
            valued, left_out = (len(valuation.manifest[k]) for k in ("players", "quarantined"))
            providers = f"{valued} + {left_out} out" if left_out else str(valued)
            score = f"{valuation.metrics['u_all']:.4f}"
            figures = [score, providers, valuation.method, valuation.fidelity]
        names = [entry.name, commit.author if commit else ""]
        table.add_row(when, *map(escape, [*names, *figures, entry.changed]))
    out = _console()
    out.print(table)
    utilities = dict.fromkeys(e.valuation.utility for e in entries if e.valuation)
    out.print(f"score: U(all), the model's {', '.join(utilities)} on the test set")


def print_comparison(comparison: Comparison) -> None:
    """Print two valuations side by side, and what the intervals assume."""
    out, before, after = _console(), comparison.before, comparison.after
    for letter, side in (("A", before), ("B", after)):
        commit = ""
        if side.commit:
            commit = (
                f" ({side.commit.id[:8]}), {side.commit.date:%Y-%m-%d %H:%M}, {side.commit.author}"
            )
        figures = f"U(all) {side.metrics['u_all']:.4f}, U(none) {side.metrics['u_none']:.4f}"
        line = f"{letter}: {side.name}{commit}; {side.utility}, {figures}; {side.method}"
        out.print(escape(line), soft_wrap=True)
    out.print("changed:" if comparison.changes else "nothing changed in what they were made of")
    for change in comparison.changes:
        out.print(escape(f"  {change.kind}: {change}"), soft_wrap=True)
    if before.sha256 == after.sha256:
        out.print("A and B are one and the same valuation")
        _print_notes(out, comparison.notes[:-1])
        return
    table = _table(f"Values for {after.utility}")
    for column in ("provider", "A", "B", "B − A", "95 % interval", "p", "rank", "finding"):
        _column(table, column, left=("provider", "finding"))
    for value in comparison.values:
        table.add_row(*_compared(value))
    out.print(table)
    counts = ", ".join(f"{count} {finding}" for finding, count in comparison.counts.items())
    out.print(counts)
    _print_notes(out, comparison.notes)


def _print_notes(out: Console, notes: Sequence[str]) -> None:
    for note in notes:
        out.print(escape(f"note: {note}"), soft_wrap=True)


def _compared(change: ValueChange) -> list[str]:
    def shown(entry: PublishedValue | None) -> str:
        if entry is None:
            return "–"
        return entry.status if entry.value is None else f"{entry.value:.4f}"

    ranks = [
        str(entry.rank) if entry and entry.rank else "–" for entry in (change.before, change.after)
    ]
    provider = f"{change.provider} (was {change.former})" if change.former else change.provider
    figures = ["", "", ""]
    if change.difference is not None:
        figures = [f"{change.difference:+.4f}", "unknown", "unknown"]
    if change.ci_low is not None:
        figures[1:] = [f"{change.ci_low:+.4f} … {change.ci_high:+.4f}", f"{change.p_value:.3f}"]
    rank = ranks[0] if ranks[0] == ranks[1] else " → ".join(ranks)
    cells = [provider, shown(change.before), shown(change.after), *figures, rank, change.finding]
    return list(map(escape, cells))


def print_leftovers(project: Project, items: Sequence[Leftover], *, removed: bool) -> None:
    """Print what goes: kept results by their number, everything else by its path."""
    from unshapley.results.retention import RESULTS, totals

    out = _console()
    table = _table("Removed" if removed else "Would be removed")
    for column in ("what", "MB", "not used for"):
        _column(table, column, left=("what",))
    now = time.time()
    results = [item for item in items if item.kind == RESULTS]
    if results:
        size, used = totals(results)[RESULTS]["bytes"], max(item.used for item in results)
        table.add_row(f"{len(results)} {RESULTS}", *_size_and_age(size, now - used))
    for item in items:
        if item.kind != RESULTS:
            name = escape(f"{item.kind}: {project.relative(item.path)}")
            table.add_row(name, *_size_and_age(item.size, now - item.used))
    if items:
        out.print(table)
    megabytes = sum(item.size for item in items) / 1e6
    done = f"{'freed' if removed else 'would free'} {megabytes:.1f} MB"
    out.print(done if items else "nothing to remove")


def _size_and_age(size: float, seconds: float) -> tuple[str, str]:
    return f"{size / 1e6:.1f}", f"{seconds / 86400:.1f} days"


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)


def _table(title: str) -> Table:
    return Table(title=escape(title), title_justify="left")


def _column(table: Table, name: str, left: Sequence[str] = ()) -> None:
    """A column of text, which is folded where it is too long, or of numbers, which never are."""
    if name in left:
        table.add_column(name, justify="left", overflow="fold")
    else:
        table.add_column(name, justify="right", no_wrap=True)


def _short(figure: float) -> str:
    """Three digits, without an exponent for large numbers."""
    return f"{figure:.0f}" if abs(figure) >= 1000 else f"{figure:.3g}"
