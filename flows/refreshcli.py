"""The command `unshapley refresh`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli import (
    JsonOption,
    ProjectOption,
    VerboseOption,
    _print_json,
    _start,
    app,
    reported,
)
from unshapley.config import Params
from unshapley.project import Project


@app.command()
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
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Update the inputs; if they changed, value them, commit, tag and push.

    The inputs are what git pulls, what imported tables have at their sources, and the drop folder.
    Killed at any moment, the same command finishes or discards what was left; see docs/refresh.md.

    Examples: `unshapley refresh` · `unshapley refresh --drop /srv/deliveries --json`
    """
    _start(project, verbose=verbose)
    from flows.refreshed import refusal
    from flows.refreshing import refresh_project

    done = refresh_project(Project(project), _value, drop=drop, push=push)
    if as_json:
        _print_json(done.summary())
    elif done.changed:
        told = "pushed" if done.pushed else "not pushed"
        taken = f", with {', '.join(done.taken)}" if done.taken else ""
        print(f"{done.tag}: commit {(done.commit or '')[:8]}, {told}{taken}")
    elif not done.refused:
        print("nothing changed")
    if done.refused:
        raise refusal(done)


def _value(project: Path, params: Params) -> None:
    """Import what takes seconds only where there is something to value."""
    from flows.refresh import value

    value(project, params)
