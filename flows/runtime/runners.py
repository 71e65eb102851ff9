"""Where the tasks of a run are carried out: the runner that params.yaml names, or its cluster."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from flows.runtime.clusters import ClusterEngine, opened_cluster
from tasks.engine import Engine, Here
from tasks.worker import Likeness, check_likeness
from unshapley.config import CLUSTERS, Params, RunSettings
from unshapley.numerics import reserve_buffers


@dataclass(frozen=True)
class Workers:
    """runner: of Prefect's tasks; engine: carries out their work; count: how many at a time;
    tasks: how many of Prefect's, some of which may wait for a cluster.
    """

    runner: TaskRunner[Any]
    engine: Engine
    count: int
    tasks: int


@contextmanager
def opened_workers(params: Params) -> Iterator[Workers]:
    """The workers that section `run` names, for as long as the block takes.

    Prefect's tasks are threads of this process where the work is done by a cluster: each hands its
    chunk to it and waits. So workers need to know neither Prefect's server nor the project, and
    results are kept here. Raises `InputError` where the cluster does not answer, or a worker would
    give other bits.
    """
    run = params.run
    if run.runner not in CLUSTERS:
        with make_runner(run) as runner:
            yield Workers(runner, Here(), run.workers, run.workers)
        return
    reserve_buffers()
    device, numerics = params.valuation.device, params.valuation.numerics
    with opened_cluster(run, device) as engine:
        engine.everywhere(check_likeness, Likeness.of_this_process(numerics, device), device)
        tasks = _waiting(engine)
        threads: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=tasks)
        with threads as runner:
            yield Workers(runner, engine, engine.count(), tasks)


def _waiting(engine: ClusterEngine) -> int:
    """Tasks that wait for the cluster: enough that no worker waits for the next one."""
    return max(2 * engine.count() + 2, engine.most)


def end_with_parent() -> None:
    """End this worker process soon after its parent process has ended for any reason."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def make_runner(run: RunSettings) -> TaskRunner[Any]:
    """A runner with `run.workers` threads or processes; use it as a context manager."""
    reserve_buffers()  # what is computed beside the workers' tasks must not starve in the middle
    if run.runner == "processes":
        return ProcessPoolTaskRunner(max_workers=run.workers, initializer=end_with_parent)
    return ThreadPoolTaskRunner(max_workers=run.workers)
