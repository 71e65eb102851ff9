"""What all steps of one valuation share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.runtime.booking import booked_device
from flows.runtime.locks import RUN, only_run
from flows.runtime.observing.observed import observed
from flows.runtime.reaping import reap
from flows.runtime.runners import Workers, opened_workers
from flows.runtime.tracking import Tracker
from unshapley.config import Params, load_params
from unshapley.extensions import look_in
from unshapley.project import Project


@dataclass(frozen=True)
class ValuationRun:
    """The project and its parameters, where tasks run, and how the run stands."""

    project: Project
    params: Params
    workers: Workers
    tracker: Tracker


@contextmanager
def running_valuation(folder: Path, params: Params | None) -> Iterator[ValuationRun]:
    """A run that holds the project's lock; without `params`, those of params.yaml."""
    project = Project(folder.resolve())
    look_in(project.root)
    params = params or load_params(project.params)
    labels = {"project": project.root.name}
    with only_run(project), observed("valuation", project.root):
        reap(project, RUN)
        with booked_device(params), opened_workers(params) as workers:
            yield ValuationRun(project, params, workers, Tracker(labels, workers.count))
