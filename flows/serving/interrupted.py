"""Runs that the end of a server interrupted go on when it is started again.

A run that is stopped is marked as crashed, and one that is killed stays as running for ever. Both
are scheduled anew; finished chunks are kept, so each goes on where it was.
"""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed, Scheduled

from flows.serving.deploying import TAG
from unshapley.files import read_json, write_json

ATTEMPTS = 5
"""A run that was begun so often is not begun again: it may be what ends the machine."""


def note_running(client: SyncPrefectClient, path: Path) -> None:
    """Write down which runs are about to be interrupted."""
    write_json(path, [str(run.id) for run in _running(client)])


def resume(client: SyncPrefectClient, path: Path, *, only_noted: bool = False) -> list[str]:
    """Schedule interrupted runs anew; returns their names.

    only_noted: those that were stopped, and none that seem to run: workers elsewhere may run them.
    """
    noted = read_json(path, do="remove it") if path.is_file() else []
    runs = {} if only_noted else {run.id: run for run in _running(client)}
    for identifier in noted:
        try:
            run = client.read_flow_run(UUID(identifier))
        except ObjectNotFound:
            continue
        if run.state_type is StateType.CRASHED:
            runs[run.id] = run
    path.unlink(missing_ok=True)
    resumed = []
    for run in runs.values():
        if run.parent_task_run_id:  # a flow inside another one, which calls it again
            client.set_flow_run_state(run.id, Crashed(message="the server ended"), force=True)
            continue
        if run.run_count >= ATTEMPTS:
            message = f"interrupted {run.run_count} times; start a new run to go on"
            client.set_flow_run_state(run.id, Crashed(message=message), force=True)
            continue
        message = "the server ended while it ran; it goes on"
        client.set_flow_run_state(
            run.id, Scheduled(name="AwaitingRetry", message=message), force=True
        )
        resumed.append(run.name)
    return resumed


def _running(client: SyncPrefectClient) -> list[FlowRun]:
    types = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=types)),
            tags=FlowRunFilterTags(all_=[TAG]),
        )
    )
