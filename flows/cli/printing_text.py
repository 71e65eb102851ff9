"""What an inspection of documents prints."""

from __future__ import annotations

from flows.cli.common import escape
from flows.cli.printing import add_column, console, new_table
from flows.cli.printing_tables import print_rules
from unshapley.data.text_inspection import CorpusInspection

SHOWN = 60
"""Providers that are shown; of many those with a finding come first."""


def print_corpus(inspection: CorpusInspection) -> None:
    """What the documents of each provider look like, and the rules that would read them."""
    out = console()
    table = new_table("Documents by provider")
    for column in (
        "provider", "documents", "characters", "tokens", "shortest", "longest", "empty",
        "unreadable", "repeated", "near-copies",
    ):  # fmt: skip
        add_column(table, column, left=("provider",))
    facts = sorted(
        inspection.providers.items(),
        key=lambda item: not (item[1].empty + item[1].unreadable + item[1].repeated + item[1].near),
    )
    for name, of in facts[:SHOWN]:
        numbers = (
            of.documents, of.characters, of.tokens, of.shortest, of.longest, of.empty,
            of.unreadable, of.repeated, of.near,
        )  # fmt: skip
        table.add_row(escape(name), *(f"{number:,}" for number in numbers))
    out.print(table)
    if len(facts) > SHOWN:
        out.print(f"and {len(facts) - SHOWN} providers more")
    for note in inspection.notes:
        out.print(f"[bold]note:[/] {escape(note)}", soft_wrap=True)
    print_rules(inspection.settings)
