"""The command that keeps a valuation up to date."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.common import (
    JsonOption,
    ProjectOption,
    VerboseOption,
    print_json,
    reported,
    start,
)
from flows.refresh_steps.repository import DEFAULT_SECONDS
from unshapley.project import Project

if TYPE_CHECKING:
    from unshapley.config import Params


@reported
def refresh(
    project: ProjectOption = Path(),
    drop: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Take the providers' tables that landed there."),
    ] = None,
    push: Annotated[
        bool, typer.Option("--push/--no-push", help="Push commit, tag and data to the remotes.")
    ] = True,
    limit: Annotated[
        float,
        typer.Option(
            metavar="MINUTES",
            min=0.01,
            help="Stop a DVC command that takes longer (a git command: 10 minutes at most).",
        ),
    ] = DEFAULT_SECONDS / 60,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Update the inputs; if they changed, value them, commit, tag and push.

    The inputs are what git pulls, what imported tables have at their sources, and the drop folder.
    Killed at any moment, the same command finishes or discards what was left; see docs/refresh.md.

    Examples: `unshapley refresh` · `unshapley refresh --drop /srv/deliveries --json`
    """
    start(project, verbose=verbose)
    from flows.refresh_steps.job import refusal
    from flows.refresh_steps.steps import refresh_project
    from flows.runtime.server import check_named_server

    check_named_server()  # else told after the stages before the valuation, which may take hours
    outcome = refresh_project(Project(project), _value, drop=drop, push=push, limit=limit * 60)
    if as_json:
        print_json(outcome.summary())
    elif outcome.changed:
        pushed = "pushed" if outcome.pushed else "not pushed"
        taken = f", with {', '.join(outcome.taken)}" if outcome.taken else ""
        print(f"{outcome.tag}: commit {(outcome.commit or '')[:8]}, {pushed}{taken}")
    elif not outcome.refused:
        print("nothing changed")
    if outcome.refused:
        raise refusal(outcome)


def _value(project: Path, params: Params) -> None:
    """Import what takes seconds only where there is something to value."""
    from flows.runtime.server import embedded_server

    with embedded_server() as server:
        from flows.refresh import value

        server.wait()
        value(project, params)


COMMANDS = (refresh,)
