"""Tables of models for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flows.cli.common import escape
from flows.cli.printing import add_column, console, new_table, short

if TYPE_CHECKING:
    from rich.console import Console

    from unshapley.game.importing import Imported
    from unshapley.game.judging import ModelScore
    from unshapley.valuing.model_check import ModelCheck


def print_imported(imported: Imported) -> None:
    """Print how good an imported model is, and what is to be known of it."""
    out, record = console(), imported.record
    assert record.imported is not None
    print_scores(out, imported.scores)
    out.print(f"model {escape(record.imported.sentence())}", soft_wrap=True)
    if record.convergence is not None:
        out.print(escape(record.convergence.sentence()), soft_wrap=True)
    if not record.recipe_known:
        out.print(
            "fidelity will be unchecked: nothing can be retrained; if section pretrain is how the "
            "model was trained, say --recipe project",
            soft_wrap=True,
        )
    for note in imported.notes:
        out.print(f"[bold]note:[/] {escape(note)}", soft_wrap=True)


def print_scores(out: Console, scores: Sequence[ModelScore]) -> None:
    """Print a model's utilities beside those of the best constant and of U(none)."""
    table = new_table("Score of the model (higher is better)")
    heads = ("utility", "test rows", "training rows", "best constant", "U(none)")
    for head in heads:
        add_column(table, head, left=("utility",))
    for score in scores:
        numbers = (score.test, score.training, score.constant, score.initial)
        table.add_row(score.utility, *(f"{number:.4f}" for number in numbers))
    out.print(table)


def print_check(check: ModelCheck) -> None:
    """Print what a model is, how good, and which unlearners work on it."""
    out, model = console(), check.model
    out.print(
        f"{escape(model['architecture'])}: {model['parameters']} parameters, {model['dtype']}; "
        f"models run {model['runs']}",
        soft_wrap=True,
    )
    out.print(escape(model["origin"]), soft_wrap=True)
    if model["convergence"]:
        out.print(escape(model["convergence"]), soft_wrap=True)
    print_scores(out, check.scores)
    table = new_table("Unlearners, a coalition on one thread")
    heads = ("unlearner", "works", "ms", "MiB", "MiB estimated", "note")
    for head in heads:
        add_column(table, head, left=("unlearner", "works", "note"))
    for row in check.unlearners:
        name = f"{row.unlearner}{' (control)' if row.control else ''}"
        numbers = (row.milliseconds, row.measured_mb, row.estimated_mb)
        texts = ("–" if number is None else short(number) for number in numbers)
        table.add_row(name, "yes" if row.works else "no", *texts, escape(row.note))
    out.print(table)
