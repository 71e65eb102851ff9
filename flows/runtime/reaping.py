"""Runs whose process was killed: marked as crashed by the next flow of the project.

A process that is killed with its worker says nothing to the server, where its run would be running
for ever, and keep the slots that it held. Whoever holds a project's lock knows that no other run
that held it lives; each run therefore bears a tag that names the lock.
"""

from __future__ import annotations

import logging
import time
import uuid
from pathlib import Path

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run
from prefect.states import Crashed

from flows.runtime.locks import LOCKS, is_free
from flows.runtime.unbegun import never_begun
from unshapley.files import read_json, write_json
from unshapley.project import Project

log = logging.getLogger("unshapley.run")

ALIVE = [StateType.RUNNING, StateType.CANCELLING]
TO_END = 2.0
"""Seconds that a run which has just released its lock has to report its end."""
MESSAGE = "its process ended without a word; the next run goes on from there"


def reap(project: Project, lock: str) -> None:
    """Tag this flow run as holding a lock of the project, and mark as crashed those whose process
    was killed: they held this lock, or another that is free, or never began.

    To be called when the lock is held, within a flow. What a server refuses is logged: no run
    depends on it.
    """
    if flow_run.id is None:
        return
    folder = project.results.parent
    own = uuid.UUID(flow_run.id)
    try:
        with get_client(sync_client=True) as client:
            lost = never_begun(client, project.root.resolve())
            for name in LOCKS:
                lost += _lost(client, folder, name, held=name == lock)
            _mark(client, [run for run in lost if run.id != own])
            add_tag(client, _tag(folder, lock))
    except (PrefectException, httpx.HTTPError) as error:
        log.warning("runs that were killed before could not be looked for: %s", error)


def _lost(client: SyncPrefectClient, folder: Path, lock: str, *, held: bool) -> list[FlowRun]:
    """Runs that say that they hold this lock though they do not; held: by this one."""
    tag = _tag(folder, lock)
    runs = running(client, tag)
    if held or not runs:
        return runs
    with is_free(folder / lock) as free:  # read again: now nobody can begin
        return running(client, tag) if free else []


def _mark(client: SyncPrefectClient, lost: list[FlowRun]) -> None:
    if lost:
        time.sleep(TO_END)
    for run in lost:
        # not forced: the server refuses it for one that has ended meanwhile
        crashed: State[None] = Crashed(message=MESSAGE)
        answer = client.set_flow_run_state(run.id, crashed)
        if answer.status is SetStateStatus.ACCEPT:
            log.info("%s had been killed, and is marked as crashed", run.name)


def running(client: SyncPrefectClient, tag: str) -> list[FlowRun]:
    """Flow runs with a tag that the server believes to run."""
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=ALIVE)),
            tags=FlowRunFilterTags(all_=[tag]),
        )
    )


def add_tag(client: SyncPrefectClient, tag: str) -> None:
    """Tag this flow run."""
    assert flow_run.id is not None
    own = uuid.UUID(flow_run.id)
    tags = client.read_flow_run(own).tags
    client.update_flow_run(own, tags=[*tags, tag])


def _tag(folder: Path, lock: str) -> str:
    return f"unshapley:{lock}:{_identity(folder)}"


def _identity(folder: Path) -> str:
    """Names the folder that holds the locks: a copy has another name, and its own locks."""
    path = folder / "id.json"
    here = str(folder.resolve().stat().st_ino)
    content = read_json(path, do="remove it") if path.is_file() else {}
    if content.get("inode") != here:
        content = {"inode": here, "id": uuid.uuid4().hex[:12]}
        write_json(path, content)
    return str(content["id"])
