"""Runs whose process was killed: marked as crashed by the next one that holds the same lock.

A process that is killed with its worker says nothing to the server, where its run would be running
for ever, and keep the slots that it held. Whoever holds a project's lock knows that no other run
that held it lives; each run therefore bears a tag that names the lock.
"""

from __future__ import annotations

import logging
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
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run
from prefect.states import Crashed

from unshapley.files import read_json, write_json
from unshapley.project import Project

log = logging.getLogger("unshapley.run")

ALIVE = [StateType.RUNNING, StateType.CANCELLING]


def reap(project: Project, lock: str) -> None:
    """Tag this flow run as holding a lock of the project, and mark others with the tag as crashed.

    To be called when the lock is held, within a flow. What a server refuses is logged: no run
    depends on it.
    """
    if flow_run.id is None:
        return
    tag = f"unshapley:{lock}:{_identity(project.results.parent)}"
    own = uuid.UUID(flow_run.id)
    try:
        with get_client(sync_client=True) as client:
            for run in running(client, tag):
                if run.id != own:
                    message = "its process ended without a word; the next run goes on from there"
                    client.set_flow_run_state(run.id, Crashed(message=message), force=True)
                    log.info("%s had been killed, and is marked as crashed", run.name)
            add_tag(client, tag)
    except (PrefectException, httpx.HTTPError) as error:
        log.warning("runs that were killed before could not be looked for: %s", error)


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


def _identity(folder: Path) -> str:
    """Names the folder that holds the locks: a copy has another name, and its own locks."""
    path = folder / "id.json"
    here = str(folder.resolve().stat().st_ino)
    content = read_json(path, do="remove it") if path.is_file() else {}
    if content.get("inode") != here:
        content = {"inode": here, "id": uuid.uuid4().hex[:12]}
        write_json(path, content)
    return str(content["id"])
