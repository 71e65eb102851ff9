"""Processes are killed together with all that could tell of it, on real servers."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from flows.runtime.unbegun import TO_BEGIN
from tests.acceptance.test_kill import finished
from tests.clusters import started
from tests.conftest import USER, set_params
from tests.flows.checkouts import NAMED, build_checkout
from tests.flows.test_valuation import chunks_of, outputs
from tests.prefect_server import PREFECT, Api, serving
from unshapley.project import Project

pytestmark = pytest.mark.drill
CHUNKS = 30
KINDS = pytest.mark.parametrize("kind", ["sqlite", "postgres"])
SECONDS = "1"
"""Between two looks of a worker, and between two signs of its life."""


def kill(process: subprocess.Popen) -> None:
    """All that it has started, too."""
    for one in [process, *psutil.Process(process.pid).children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()


def wait_for(true: Callable[[], object], log: Path, every: float = 0.05) -> None:
    until = time.monotonic() + 600
    while not true():
        assert time.monotonic() < until, log.read_text()
        time.sleep(every)


def deployed(server: Api, project: Project) -> tuple[list[str], dict[str, str]]:
    """A deployment valuation/d, one run at a time; gives command and environment of its worker."""
    server.run(*PREFECT, "work-pool", "create", "pool", "--type", "process")
    where = ["--params", json.dumps({"project": str(project.root)}), "--pool", "pool"]
    one = ["--concurrency-limit", "1", "--collision-strategy", "CANCEL_NEW"]
    server.run(*PREFECT, "--no-prompt", "deploy", "flows/valuation.py:valuation", "-n", "d", *where, *one)  # fmt: skip
    seconds = dict.fromkeys(("PREFECT_WORKER_QUERY_SECONDS", "PREFECT_WORKER_HEARTBEAT_SECONDS"), SECONDS)  # fmt: skip
    environment = {"PREFECT_API_URL": server.url, "PREFECT_HOME": str(server.folder), **seconds}
    return [*PREFECT, "worker", "start", "--pool", "pool"], environment


@KINDS
def test_the_next_run_marks_it_as_crashed_and_goes_on(project, tmp_path, kind):
    slow = {"valuation__chunk_size": 1, "valuation__options": {"steps": 300}}
    set_params(project, **slow)
    with serving(kind, tmp_path / "server") as server:
        worker, options = deployed(server, project)
        with started(worker, tmp_path / "worker.log", **options) as process:
            server.run(*PREFECT, "deployment", "run", "valuation/d")
            wait_for(lambda: len(finished(project)) >= 3, tmp_path / "worker.log")
            kill(process)
        (lost,) = server.ask("flow_runs/filter", {})
        assert lost["state"]["name"] == "Running"
        before = len(finished(project))

        subprocess.run(
            ["unshapley", "run", "-q", "-p", project.root], check=True, env=server.environment
        )  # fmt: skip
        assert server.ask(f"flow_runs/{lost['id']}")["state"]["name"] == "Crashed"
        assert chunks_of(project) == {"computed": CHUNKS - before, "resumed": before}
        resumed = outputs(project)

        # the slot that it held of its deployment is free again
        with started(worker, tmp_path / "worker.log", **options):
            server.run(*PREFECT, "deployment", "run", "valuation/d", "--watch")
        assert outputs(project) == resumed
    shutil.rmtree(project.results)
    shutil.rmtree(project.valuation)
    subprocess.run(["unshapley", "run", "-q", "-p", project.root], check=True, env=USER)
    assert outputs(project) == resumed


@KINDS
def test_a_run_that_was_claimed_and_not_begun_is_marked_too(project, tmp_path, kind):
    with serving(kind, tmp_path / "server") as server:
        worker, options = deployed(server, project)
        log = tmp_path / "worker.log"
        with started(worker, log, **options) as process:
            server.run(*PREFECT, "deployment", "run", "valuation/d")

            def state() -> str:
                return server.ask("flow_runs/filter", {})[0]["state_type"]

            wait_for(lambda: state() == "PENDING", log)
            kill(process)
        (lost,) = server.ask("flow_runs/filter", {})
        assert lost["state_type"] == "PENDING"

        def workers() -> set[str]:
            return {w["status"] for w in server.ask("work_pools/pool/workers/filter", {})}

        wait_for(lambda: workers() == {"OFFLINE"}, log, every=1)
        time.sleep(TO_BEGIN.total_seconds())
        subprocess.run(
            ["unshapley", "run", "-q", "-p", project.root], check=True, env=server.environment
        )  # fmt: skip
        assert server.ask(f"flow_runs/{lost['id']}")["state"]["name"] == "Crashed"
        expected = outputs(project)
        with started(worker, log, **options):
            server.run(*PREFECT, "deployment", "run", "valuation/d", "--watch")
        assert outputs(project) == expected


@KINDS
def test_the_valuation_of_a_killed_refresh_is_marked_by_the_next_flow_of_another_kind(
    tmp_path, kind
):
    slow = ("valuation.chunk_size=1", "valuation.unlearner=shrink_finetune", "valuation.options={steps: 3000}")  # fmt: skip
    place = build_checkout(tmp_path, [f"form-{i:02}" for i in range(5)], *slow)
    log = tmp_path / "refresh.log"
    with serving(kind, tmp_path / "server") as server:
        options = {"PREFECT_API_URL": server.url, "PREFECT_HOME": str(server.folder), **NAMED}
        code = f"from flows.refresh import refresh; refresh(project={str(place.root)!r}, push=False)"  # fmt: skip
        with started([sys.executable, "-c", code], log, **options) as process:
            wait_for(lambda: finished(place), log)
            kill(process)
        both = server.ask("flow_runs/filter", {})
        assert [run["state"]["name"] for run in both] == ["Running", "Running"]
        code = f"from flows.audit import audit; audit(project={str(place.root)!r})"
        with started([sys.executable, "-c", code], log, **options) as process:
            assert process.wait(timeout=300), "nothing is published that it could repeat"
        names = {server.ask(f"flow_runs/{run['id']}")["state"]["name"] for run in both}
        assert names == {"Crashed"}
