"""Run a task for many calls, and store the results by content key."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.futures import as_completed
from prefect.task_runners import TaskRunner
from prefect.utilities.annotations import quote

from flows.runtime.progress import progress_bar
from tasks.keeping import kept
from unshapley.config import RunSettings
from unshapley.files import is_sealed

log = logging.getLogger("unshapley.run")

Calls = Mapping[int, Mapping[str, Any]]
"""Arguments of each call, by number; the argument `key` names its result."""
Done = Callable[[dict[str, Any], bool], None]
"""Called with every result, and whether it was stored before."""

BETWEEN_UPDATES = 2.0
"""Seconds between two updates of the progress artifact: each takes 0.07 s of the run."""


def run_kept(
    task: Any,
    calls: Calls,
    results: Path,
    settings: RunSettings,
    runner: TaskRunner[Any],
    done: Done,
) -> dict[int, dict[str, Any]]:
    """Run a task for every call; a damaged stored result is computed again."""

    def run_all(pending: Calls, *, refresh: bool) -> dict[int, dict[str, Any]]:
        configured = kept(task, results, settings, refresh=refresh)
        # quoted, or Prefect would look for futures in every element of every argument, three times
        quoted = {i: {name: quote(a) for name, a in call.items()} for i, call in pending.items()}
        futures = {runner.submit(configured, call): i for i, call in quoted.items()}
        intact: dict[int, dict[str, Any]] = {}
        for future in as_completed(list(futures)):
            result, stored = future.result(), future.state.name == "Cached"
            if not stored or is_sealed(result):  # only what was read can be damaged
                intact[futures[future]] = result
                done(result, stored)
        return intact

    by_call = run_all(calls, refresh=False)
    damaged = {i: call for i, call in calls.items() if i not in by_call}
    if damaged:
        log.warning("%d kept results were damaged and are computed again", len(damaged))
        by_call |= run_all(damaged, refresh=True)
    return by_call


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
