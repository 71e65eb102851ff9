"""Runs that a worker has claimed and that no process will ever begin.

They have no lock. What shows that nobody is on the way to them is that their worker is silent: a
worker says that it lives every 30 seconds. Should one begin all the same, its process goes on: the
server takes `Running` after `Crashed`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus
from prefect.exceptions import ObjectNotFound

FLOWS = ("valuation", "refresh", "audit", "pretrain")
"""Names of our flows: a server may know others'."""
TO_BEGIN = timedelta(minutes=2)
"""What a process that was started, or that calls a flow itself, takes at most until it begins."""
AT_MOST = timedelta(days=1)
"""The same where the worker seems to live: one that was started again may have the same name."""
BY = "prefect.worker.name"


def never_begun(client: SyncPrefectClient, root: Path) -> list[FlowRun]:
    """Pending runs of the project in this folder that nobody is on the way to."""
    pending = client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=list(FLOWS))),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PENDING]))
        ),
    )
    return [
        run
        for run in pending
        if run.parameters.get("project") == str(root) and _is_lost(client, run)
    ]


def _is_lost(client: SyncPrefectClient, run: FlowRun) -> bool:
    assert run.state is not None
    age = datetime.now(UTC) - run.state.timestamp
    worker = run.labels.get(BY)
    if worker and _is_online(client, run.work_pool_name, str(worker)):
        return age > AT_MOST
    was_submitted = not worker or run.infrastructure_pid
    return age > TO_BEGIN or not was_submitted


def _is_online(client: SyncPrefectClient, pool: str | None, worker: str) -> bool:
    if pool is None:
        return False
    try:
        workers = client.read_workers_for_work_pool(pool)
    except ObjectNotFound:
        return False
    return any(w.name == worker and w.status is WorkerStatus.ONLINE for w in workers)
