"""Where tasks run: the runner that params.yaml names."""

from __future__ import annotations

from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from unshapley.config import Run


def make_runner(run: Run) -> TaskRunner[Any]:
    """A runner with `run.workers` workers, to be used as a context manager."""
    if run.runner == "processes":
        return ProcessPoolTaskRunner(max_workers=run.workers)
    return ThreadPoolTaskRunner(max_workers=run.workers)
