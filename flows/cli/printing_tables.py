"""What an inspection of tables prints."""

from __future__ import annotations

from flows.cli.common import escape
from flows.cli.printing import add_column, console, new_table
from unshapley.config import PrepareSettings
from unshapley.data.inference import Inspection

SHOWN = 60
"""Columns that are shown; of wide tables those with a note come first."""


def print_inspection(inspection: Inspection) -> None:
    """Columns, rows by provider, classes, and the rules that would read them."""
    out = console()
    table = new_table("Columns of all tables")
    for column in ("column", "holds", "missing", "different", "for example", "note"):
        add_column(table, column, left=("column", "holds", "for example", "note"))
    facts = sorted(inspection.columns, key=lambda fact: not fact.notes)
    for fact in facts[:SHOWN]:
        cells = fact.name, fact.kind, str(fact.missing), str(fact.distinct), fact.example[:40]
        table.add_row(*map(escape, cells), escape("; ".join(fact.notes)))
    if facts:
        out.print(table)
    if len(facts) > SHOWN:
        out.print(f"and {len(facts) - SHOWN} columns more")
    for name, counts in (("provider", inspection.rows), ("class", inspection.classes)):
        if counts:
            shown = ", ".join(f"{escape(key)} {rows}" for key, rows in list(counts.items())[:30])
            more = f", and {len(counts) - 30} more" if len(counts) > 30 else ""
            out.print(f"rows by {name}: {shown}{more}", soft_wrap=True)
    for note in inspection.notes:
        out.print(f"[bold]note:[/] {escape(note)}", soft_wrap=True)
    print_rules(inspection.settings)


def print_rules(settings: PrepareSettings) -> None:
    """The keys of section prepare that are not as they are by default."""
    out, default = console(), PrepareSettings()
    out.print("rules (section prepare of params.yaml):")
    for key, value in settings:
        if value != getattr(default, key):
            is_section = key in ("read", "pictures", "documents")
            text = value.model_dump(exclude_defaults=True) if is_section else value
            out.print(f"  {key}: {escape(str(text))}", soft_wrap=True)
