"""The command line `unshapley`: a file a group of commands. Heavy imports wait for a command."""

from __future__ import annotations

import typer

from flows.cli import (
    alerts,
    analysis,
    audit,
    beginning,
    clean,
    fidelity,
    history,
    models,
    plan,
    project,
    refresh,
    serve,
    tracking,
    valuation,
    verify,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="What each provider's data is worth to a model: Shapley values by unlearning.\n\n"
    "Exit codes: 0 done, 1 failed, 2 wrong input, 3 not published because untrusted, "
    "4 files are not as recorded, or not reproduced, 5 not checkable, 6 another run works in the "
    "project, 130 and 143 stopped by Ctrl-C or SIGTERM.",
)
for group in (
    beginning,
    project,
    models,
    plan,
    valuation,
    verify,
    audit,
    history,
    tracking,
    refresh,
    serve,
    analysis,
    fidelity,
    alerts,
    clean,
):
    for command in group.COMMANDS:
        app.command(command.__name__.replace("_", "-"))(command)


def main() -> None:
    """Entry point."""
    app()
