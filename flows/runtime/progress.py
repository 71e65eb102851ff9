"""Progress bars on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from unshapley.progress import Advance


@contextmanager
def progress_bar(total: int, unit: str) -> Iterator[Progress]:
    """A bar with rate and remaining time; shown only on a terminal."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    with bar:
        bar.add_task("measuring", total=total, rate="")
        yield bar


@contextmanager
def coalitions_done(total: int) -> Iterator[Advance]:
    """A bar that counts coalitions; a `unshapley.progress.Progress`."""
    with progress_bar(total, "coalitions") as bar:
        yield lambda count: bar.update(bar.task_ids[0], advance=count)
