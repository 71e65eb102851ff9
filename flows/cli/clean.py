"""The command that frees space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.common import JsonOption, ProjectOption, print_json, reported
from unshapley.project import Project

MB = 1e6


@reported
def clean(
    project: ProjectOption = Path(),
    days: Annotated[
        float, typer.Option(min=0, metavar="N", help="Remove what was not used for so many days.")
    ] = 30,
    keep: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="MB", help="Keep at most so many MB of results, the last used ones."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would go, and remove nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Free space: results that a run could resume, refused valuations, what killed commands left.

    All of it can be made again. What git or DVC holds stays, and with it all that an audit needs of
    any valuation; DVC's cache is for `dvc gc` to clean. Refused while a run, a refresh or an audit
    works in the project (exit code 6). See docs/retention.md.

    Examples: `unshapley clean --dry-run` · `unshapley clean --days 7 --keep 500`
    """
    from flows.runtime.locks import nobody_else
    from unshapley.results.retention import leftovers, remove, totals

    paths = Project(project)
    with nobody_else(paths):
        items = leftovers(paths, days=days, keep=None if keep is None else keep * MB)
        if not dry_run:
            remove(paths, items)
    if as_json:
        listed = [
            {"path": paths.relative(item.path), "kind": item.kind, "bytes": item.size}
            for item in items
        ]
        print_json({"removed": not dry_run, "kinds": totals(items), "items": listed})
    else:
        from flows.cli.printing_records import print_leftovers

        print_leftovers(paths, items, removed=not dry_run)


COMMANDS = (clean,)
