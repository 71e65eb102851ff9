"""Tables for the terminal about recorded valuations and what they leave behind."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from flows.cli.common import escape
from flows.cli.printing import add_column, console, new_table

if TYPE_CHECKING:
    from unshapley.analysis.comparison import Comparison, ValueChange
    from unshapley.analysis.history import HistoryEntry
    from unshapley.project import Project
    from unshapley.results.published import PublishedValue
    from unshapley.results.retention import Leftover


def print_history(entries: Sequence[HistoryEntry]) -> None:
    """Print valuations over time, the newest last."""
    table = new_table("Valuations, the newest last")
    signed = ["signed by"] if any(entry.signature for entry in entries) else []
    texts = ("when", "valuation", "who", "signed by", "unlearner", "fidelity", "changed")
    figures = ("score", "providers", "unlearner", "fidelity", "changed")
    for column in ("when", "valuation", "who", *signed, *figures):
        add_column(table, column, left=texts)
    for entry in entries:
        commit, valuation = entry.commit, entry.valuation
        when = f"{commit.date:%Y-%m-%d %H:%M}" if commit else "not committed"
        cells = ["", "", "", ""]
        if valuation is not None:
            valued, left_out = (len(valuation.manifest[k]) for k in ("players", "quarantined"))
            providers = f"{valued} + {left_out} out" if left_out else str(valued)
            score = f"{valuation.metrics['u_all']:.4f}"
            cells = [score, providers, valuation.method, valuation.fidelity]
        names = [entry.name, commit.author if commit else ""]
        names += [str(entry.signature or "–") for _ in signed]
        table.add_row(when, *map(escape, [*names, *cells, entry.changed]))
    out = console()
    out.print(table)
    utilities = dict.fromkeys(e.valuation.utility for e in entries if e.valuation)
    out.print(f"score: U(all), the model's {', '.join(utilities)} on the test set")


def print_comparison(comparison: Comparison) -> None:
    """Print two valuations side by side, and what the intervals assume."""
    out, before, after = console(), comparison.before, comparison.after
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
    table = new_table(f"Values for {after.utility}")
    for column in ("provider", "A", "B", "B − A", "95 % interval", "p", "rank", "finding"):
        add_column(table, column, left=("provider", "finding"))
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

    out = console()
    table = new_table("Removed" if removed else "Would be removed")
    for column in ("what", "MB", "not used for"):
        add_column(table, column, left=("what",))
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


def _surely(measured: Mapping[str, Any]) -> str:
    """How much was measured again, and how surely that finds a forgery."""
    by_share = measured["found_if_forged"].items()
    odds = ", ".join(f"{float(share):.0%}: {chance:.2f}" for share, chance in by_share)
    return (
        f"measured again: {measured['coalitions']} of {measured['of']} coalitions, "
        f"{measured['share_of_work']:.0%} of the run's counted work; probability that the random "
        f"part holds a forged one, by how many are forged: {odds}; at least .95 from "
        f"{measured['surely_found']} coalitions on"
    )


def print_audit(summary: Mapping[str, Any]) -> None:
    """Print the outcome of an audit, as audit.json holds it."""
    out, checks = console(), summary["checks"]
    table = new_table(f"Audit of {summary['revision']['name']}: {summary['verdict']}")
    columns = ("step", "what", "outcome", "entries", "differ", "by at most", "allowed")
    for column in columns:
        add_column(table, column, left=("step", "what", "outcome"))
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
    if measured := summary["figures"].get("measured"):
        out.print(_surely(measured), soft_wrap=True)
    for row in summary["differences"]:
        there, here = escape(row["recorded"]), escape(row["here"])
        out.print(f"other {row['name']}: recorded {there}, here {here}", soft_wrap=True)
    if summary["differences"] and summary["rebuild"]:
        out.print("the recorded code and versions, from a clone of unshapley:")
        for command in summary["rebuild"]:
            out.print(f"  {escape(command)}", soft_wrap=True)
    out.print(f"repeat: {escape(summary['repeat'])}", soft_wrap=True)
    out.print(f"written: {escape(summary['folder'])}", soft_wrap=True)
