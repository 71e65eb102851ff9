"""Run a task over many calls: results kept by content key, whatever order they finish in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.futures import as_completed
from prefect.task_runners import TaskRunner

from flows.runtime.progress import progress_bar
from tasks.keeping import kept
from unshapley.config import RunSettings
from unshapley.files import is_sealed

log = logging.getLogger("unshapley.run")

Calls = Mapping[int, Mapping[str, Any]]
"""Arguments of each call; `key` names its result."""
Done = Callable[[dict[str, Any], bool], None]
"""Called with every result, and whether it was kept from before."""


def run_kept(
    task: Any,
    calls: Calls,
    results: Path,
    settings: RunSettings,
    runner: TaskRunner[Any],
    done: Done,
) -> dict[int, dict[str, Any]]:
    """Run a task for every call; a damaged kept result is computed again."""

    def run_all(some: Calls, *, refresh: bool) -> dict[int, dict[str, Any]]:
        ready = kept(task, results, settings, refresh=refresh)
        futures = {runner.submit(ready, dict(call)): i for i, call in some.items()}
        whole: dict[int, dict[str, Any]] = {}
        for future in as_completed(list(futures)):
            result = future.result()
            if is_sealed(result):
                whole[futures[future]] = result
                done(result, future.state.name == "Cached")
        return whole

    found = run_all(calls, refresh=False)
    damaged = {i: call for i, call in calls.items() if i not in found}
    if damaged:
        log.warning("%d kept results were damaged and are computed again", len(damaged))
        found |= run_all(damaged, refresh=True)
    return found


@contextmanager
def chunk_progress(total: int, size: int) -> Iterator[Callable[[], None]]:
    """Progress of `total` chunks of `size` coalitions, on the terminal and as a Prefect artifact.

    Gives what is to be called as each is done.
    """
    artifact = create_progress_artifact(0.0, key="progress", description="Chunks measured")
    done = 0
    with progress_bar(total, "chunks") as bar:

        def advance() -> None:
            nonlocal done
            done += 1
            task = bar.tasks[0]
            rate = f"{task.speed * size:.0f} coalitions/s" if task.speed else ""
            bar.update(task.id, advance=1, rate=rate)
            if done == total or done % max(1, total // 20) == 0:
                update_progress_artifact(UUID(str(artifact)), 100 * done / total)

        yield advance
