"""Run a task for many calls, and store the results by content key."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.futures import PrefectFuture
from prefect.utilities.annotations import quote

from flows.runtime.progress import progress_bar
from flows.runtime.runners import Workers
from tasks.keeping import kept
from unshapley.config import RunSettings
from unshapley.files import is_sealed

log = logging.getLogger("unshapley.run")

Call = Callable[[int], Mapping[str, Any]]
"""Arguments of a call, by its number; the argument `key` names its result."""
Take = Callable[[int, dict[str, Any], bool], None]
"""Called with the number of a call, its result, and whether that was stored before."""

AHEAD = 2
"""Tasks that are submitted for each that can run, so that no worker waits for the next one."""
BETWEEN_UPDATES = 2.0
"""Seconds between two updates of the progress artifact: each takes 0.07 s of the run."""


def run_kept(
    task: Any, count: int, call: Call, results: Path, settings: RunSettings, workers: Workers,
    take: Take,
) -> None:  # fmt: skip
    """Run a task for calls 0 … count − 1, and hand over each result as soon as it is there; a
    damaged stored result is computed again.

    Arguments are made when a worker is soon to have time for them, and no result is held here, so
    that memory does not grow with the number of calls.
    """

    def run_all(numbers: Iterable[int], *, refresh: bool) -> list[int]:
        """Returns the numbers of damaged results."""
        configured = kept(task, results, settings, refresh=refresh)

        def submit(number: int) -> PrefectFuture[Any]:
            # quoted, or Prefect would look for futures in every element of every argument, thrice
            quoted = {name: quote(a) for name, a in call(number).items()}
            future: PrefectFuture[Any] = workers.runner.submit(configured, quoted)
            return future

        damaged = []
        for number, future in _as_they_end(numbers, submit, AHEAD * workers.tasks):
            result, stored = future.result(), future.state.name == "Cached"
            if stored and not is_sealed(result):  # only what was read can be damaged
                damaged.append(number)
            else:
                take(number, result, stored)
        return sorted(damaged)

    if damaged := run_all(range(count), refresh=False):
        log.warning("%d kept results were damaged and are computed again", len(damaged))
        run_all(damaged, refresh=True)


def _as_they_end(
    numbers: Iterable[int], submit: Callable[[int], PrefectFuture[Any]], most: int
) -> Iterator[tuple[int, PrefectFuture[Any]]]:
    """Futures in the order in which they end, with their numbers; at most so many at a time."""
    ended: SimpleQueue[PrefectFuture[Any]] = SimpleQueue()
    pending: dict[UUID, int] = {}
    left = iter(numbers)
    while True:
        for number in islice(left, most - len(pending)):
            future = submit(number)
            pending[future.task_run_id] = number
            future.add_done_callback(ended.put)
        if not pending:
            return
        future = ended.get()
        yield pending.pop(future.task_run_id), future


@contextmanager
def chunk_progress(total: int, size: int) -> Iterator[Callable[[], None]]:
    """Show progress of `total` chunks of `size` coalitions, on the terminal and in Prefect.

    Yields a function to call after each chunk.
    """
    artifact = create_progress_artifact(0.0, key="progress", description="Chunks measured")
    shown = time.monotonic()
    with progress_bar(total, "chunks") as bar:

        def advance() -> None:
            nonlocal shown
            task = bar.tasks[0]
            rate = f"{task.speed * size:.0f} coalitions/s" if task.speed else ""
            bar.update(task.id, advance=1, rate=rate)
            now = time.monotonic()
            if task.finished or now - shown >= BETWEEN_UPDATES:
                update_progress_artifact(UUID(str(artifact)), task.percentage)
                shown = now

        yield advance
