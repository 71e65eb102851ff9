"""Run a task over many calls: results kept by content key, whatever order they finish in."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.futures import as_completed
from prefect.task_runners import TaskRunner

from flows.tracking import Tracker, progress
from tasks.options import is_sealed, kept
from unshapley.config import Params
from unshapley.project import Project

log = logging.getLogger("unshapley.run")


def run_kept(
    task: Any,
    calls: dict[Any, dict[str, Any]],
    place: Project,
    params: Params,
    runner: TaskRunner[Any],
    tracker: Tracker | None = None,
) -> dict[Any, dict[str, Any]]:
    """Run a task for every call, results kept by key; a damaged kept result is computed again."""
    results = _round(task, calls, place, params, runner, tracker, refresh=False)
    damaged = {name: calls[name] for name in calls if name not in results}
    if damaged:
        log.warning("%d kept results were damaged and are computed again", len(damaged))
        results |= _round(task, damaged, place, params, runner, tracker, refresh=True)
    return results


def _round(
    task: Any,
    calls: dict[Any, dict[str, Any]],
    place: Project,
    params: Params,
    runner: TaskRunner[Any],
    tracker: Tracker | None,
    *,
    refresh: bool,
) -> dict[Any, dict[str, Any]]:
    """Results that are whole, by name."""
    ready = kept(task, place.results, params.run, refresh=refresh)
    futures = {runner.submit(ready, call): name for name, call in calls.items()}
    results: dict[Any, dict[str, Any]] = {}
    with counted(len(calls) if tracker else 0, params.valuation.chunk_size) as advance:
        for future in as_completed(list(futures)):
            result = future.result()
            if not is_sealed(result):
                continue
            results[futures[future]] = result
            if tracker:
                tracker.chunk(result, cached=future.state.name == "Cached")
            advance()
    return results


@contextmanager
def counted(total: int, size: int) -> Iterator[Any]:
    """Progress of a long step, on the terminal and as a Prefect artifact."""
    if not total:
        yield lambda: None
        return
    artifact = create_progress_artifact(0.0, key="progress", description="Chunks measured")
    done = 0
    with progress(total, "chunks") as bar:

        def advance() -> None:
            nonlocal done
            done += 1
            task = bar.tasks[0]
            rate = f"{task.speed * size:.0f} coalitions/s" if task.speed else ""
            bar.update(task.id, advance=1, rate=rate)
            if done == total or done % max(1, total // 20) == 0:
                update_progress_artifact(UUID(str(artifact)), 100 * done / total)

        yield advance
