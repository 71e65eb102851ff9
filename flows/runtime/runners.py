"""The task runner that params.yaml names."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from unshapley.config import RunSettings
from unshapley.numerics import reserve_buffers


def end_with_parent() -> None:
    """End this worker process soon after its parent process has ended for any reason."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def make_runner(run: RunSettings) -> TaskRunner[Any]:
    """A runner with `run.workers` workers; use it as a context manager."""
    reserve_buffers()  # what is computed beside the workers' tasks must not starve in the middle
    if run.runner == "processes":
        return ProcessPoolTaskRunner(max_workers=run.workers, initializer=end_with_parent)
    return ThreadPoolTaskRunner(max_workers=run.workers)
