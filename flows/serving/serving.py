"""Bring up server, work pool, deployments and worker, keep them up, and end them in order."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.runtime.addresses import check_server
from flows.runtime.locks import only_server
from flows.runtime.projects import Registered, Registry, check_drop_folder, check_project
from flows.runtime.server import PATIENCE, SERVED, named_url
from flows.runtime.settings import names_server
from flows.serving.pools import template_of
from flows.serving.schedules import check_cron
from flows.serving.server_parts import check_server_parts, server_parts
from flows.serving.settings import (
    PREFECT,
    Settings,
    server_environment,
    worker_environment,
)
from flows.serving.supervisor import Part, Supervisor
from flows.serving.team import client_environment
from unshapley.errors import InputError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from flows.serving.deployments import Deployment, Schedule

BETWEEN_LOOKS, ALONE = 10.0, 60.0
"""Seconds between two looks at the pool, and after which a pool without a worker is told."""
INTERRUPTED = "interrupted.json"


@dataclass(frozen=True)
class Served:
    """What stands: address, whether the server is ours, schedule by deployment, runs that go on."""

    api: str
    own: bool
    schedules: dict[str, Schedule | None]
    resumed: list[str]
    removed: list[str]


def serve(
    settings: Settings,
    registry: Registry,
    tell: Callable[[str], None],
    ready: Callable[[Served], None],
    switch_on: Sequence[str] = (),
) -> None:
    """Serve all registered projects until a signal ends it.

    tell: gets what a person should know; ready: is called once, when all stands; switch_on:
    projects whose refresh is switched on.

    Raises `InputError` for what is amiss before anything is started, and `UnshapleyError` when a
    process does not stay up.
    """
    projects = registry.projects()
    _check(projects)
    own = not names_server()
    with ExitStack() as stack:
        if own:
            stack.enter_context(only_server(settings.home))
            check_server_parts(settings)
            parts = server_parts(settings)
            os.environ["PREFECT_API_URL"] = settings.api
        else:
            check_server(named_url())
            parts = []
        worker = worker_environment(client_environment(settings, server_environment(settings)))
        os.environ.update(client_environment(settings, {}))
        supervisor = stack.enter_context(Supervisor(settings.logs, tell))
        for part in parts:
            supervisor.start(part)
        deployments = _deployments(projects)  # imports for seconds; the server starts
        for part in parts:
            supervisor.wait(part, PATIENCE)
        from prefect.client.orchestration import get_client

        client = stack.enter_context(get_client(sync_client=True))
        served = _put(client, settings, projects, deployments, tell, own=own, switch_on=switch_on)
        if settings.pool == "process":
            supervisor.start(_worker(settings, worker))
        if own:
            _announce(stack, settings)
            stack.callback(_if_possible, lambda: _note(client, settings))
        ready(served)
        supervisor.watch(_PoolWatch(client, tell).look)


def _announce(stack: ExitStack, settings: Settings) -> None:
    """Let commands on the same home use this server, as long as it runs."""
    if not settings.team:
        path = settings.home / SERVED
        path.write_text(settings.api, encoding="utf-8")
        stack.callback(path.unlink, missing_ok=True)


def _note(client: SyncPrefectClient, settings: Settings) -> None:
    from flows.serving.interrupted import note_running

    note_running(client, settings.home / INTERRUPTED)


def _check(projects: Sequence[Registered]) -> None:
    if not projects:
        raise InputError(
            "no project is named or registered",
            do="name its folder (`unshapley serve ../hospitals`), or make one: `unshapley init`",
        )
    for project in projects:
        check_project(project.folder)
        if project.drop:
            check_drop_folder(project.drop)
        if project.schedule:
            check_cron(project.schedule, f"the schedule of {project.name}")


def _deployments(projects: Sequence[Registered]) -> list[Deployment]:
    from flows.serving.deployments import deployments_of

    return [d for project in projects for d in deployments_of(project)]


def _put(
    client: SyncPrefectClient,
    settings: Settings,
    projects: Sequence[Registered],
    deployments: Sequence[Deployment],
    tell: Callable[[str], None],
    *,
    own: bool,
    switch_on: Sequence[str],
) -> Served:
    from flows.serving.deploying import deploy, make_pool, withdraw
    from flows.serving.interrupted import resume, skip_missed

    template = template_of(
        settings.pool, settings.image, projects, settings.template, guarded=settings.team
    )
    make_pool(client, settings.pool, template)
    removed = withdraw(client, projects) if own else []
    schedules = {}
    for deployment in deployments:
        on = deployment.flow == "refresh" and deployment.name in switch_on
        schedules[deployment.full_name], problems = deploy(client, deployment, switch_on=on)
        for problem in problems:
            tell(f"warning: {problem}")
    if own:
        skip_missed(client)
    # of a team's server workers elsewhere may go on with what runs
    path = settings.home / INTERRUPTED
    resumed = resume(client, path, only_noted=settings.team) if own else []
    return Served(
        os.environ.get("PREFECT_API_URL") or named_url(), own, schedules, resumed, removed
    )


def _worker(settings: Settings, environment: Mapping[str, str]) -> Part:
    from flows.serving.deployments import POOL

    start = [*PREFECT, "worker", "start", "--pool", POOL, "--type", "process"]
    limit = ["--limit", str(settings.runs), "--install-policy", "never"]
    named = {"PREFECT_API_URL": os.environ.get("PREFECT_API_URL") or named_url()}
    return Part("worker", [*start, *limit], {**environment, **named})


class _PoolWatch:
    """Tells once when no worker has asked the pool for a while, and once when one is back."""

    def __init__(self, client: SyncPrefectClient, tell: Callable[[str], None]) -> None:
        self.client, self.tell = client, tell
        self.last = self.looked = time.monotonic()
        self.told = False

    def look(self) -> None:
        now = time.monotonic()
        if now - self.looked < BETWEEN_LOOKS:
            return
        self.looked = now
        from flows.serving.deployments import POOL

        status: list[object] = []
        _if_possible(lambda: status.append(self.client.read_work_pool(POOL).status))
        if not status or status[0] == "READY":  # of a server that is away its part tells
            if self.told:
                self.tell(f"a worker asks the work pool {POOL} again")
            self.last, self.told = now, False
        elif now - self.last >= ALONE and not self.told:
            self.told = True
            self.tell(
                f"no worker has asked the work pool {POOL} for a minute, so runs wait\n"
                f"  do: start one: prefect worker start --pool {POOL}"
            )


def _if_possible(call: Callable[[], None]) -> None:
    """Do it if the server answers: it may be starting again, or be on its way out."""
    import httpx
    from prefect.exceptions import PrefectException

    try:
        call()
    except (httpx.HTTPError, PrefectException):
        return
