"""Progress of long work: bars on a terminal, else a line in the log now and then."""

from __future__ import annotations

import logging
import sys
import time
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

from unshapley import progress
from unshapley.progress import Advance

log = logging.getLogger("unshapley.progress")

BETWEEN_LINES = 15.0
"""Seconds between two lines where there is no terminal; shorter work gives none."""


@contextmanager
def progress_bar(total: int, unit: str, name: str = "measuring") -> Iterator[Progress]:
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
        bar.add_task(name, total=total, rate="")
        yield bar


def phases(name: str, unit: str) -> progress.Progress:
    """Progress of a phase of a command; a `unshapley.progress.Phases`."""

    @contextmanager
    def shown(total: int) -> Iterator[Advance]:
        begin = last = time.monotonic()
        done, first = 0, (0, begin)
        with progress_bar(total, unit, name) as bar:

            def advance(count: int) -> None:
                nonlocal done, last, first
                now = time.monotonic()
                if not done:  # it waits for libraries too, so it says nothing of the others
                    first = count, now
                done += count
                rate = done / max(now - begin, 1e-9)
                bar.update(bar.task_ids[0], advance=count, rate=f"{rate:.3g}/s")
                if bar.disable and now - last >= BETWEEN_LINES:
                    last = now
                    left = _left(total, done, now, first)
                    log.info("%s: %d of %d %s%s", name, done, total, unit, left)

            yield advance

    return shown


def _left(total: int, done: int, now: float, first: tuple[int, float]) -> str:
    """Seconds left, by the work since the first of it was done; nothing before there was any."""
    if done == first[0]:
        return ""
    return f", {(total - done) * (now - first[1]) / (done - first[0]):.0f} s left"


coalitions_done = phases("measuring", "coalitions")
"""Counts coalitions."""
