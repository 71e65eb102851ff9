"""SIGKILL at different moments, then the same command: nothing twice, nothing lost, same bits."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest

from flows.valuation import valuation
from tests.conftest import USER, set_params
from tests.flows.test_valuation import chunks_of, outputs
from unshapley.project import Project

CHUNKS = 15


@pytest.fixture(scope="module")
def undisturbed(built: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("kill") / "project")
    shutil.copytree(built.root, project.root)
    set_params(project, valuation__chunk_size=2, valuation__options={"steps": 60})
    valuation(project=project.root)
    return project


def command(project: Project) -> list[str]:
    code = "from flows.cli import main; main()"
    return [sys.executable, "-c", code, "run", "-p", str(project.root)]


def finished(project: Project) -> set[str]:
    """Names of the chunk results that are on disk and whole."""
    names = set()
    for path in project.results.glob("chunk-*"):
        try:
            json.loads(path.read_text())
        except json.JSONDecodeError:
            continue
        names.add(path.name)
    return names


def server_of(run: subprocess.Popen) -> psutil.Process:
    """The embedded server that a run has started."""
    children = psutil.Process(run.pid).children()
    (server,) = [p for p in children if "prefect.server.api.server:create_app" in p.cmdline()]
    return server


def reset(project: Project) -> None:
    for path in [*project.results.iterdir(), *project.valuation.rglob("*")]:
        if path.is_file():
            path.unlink()


DRILL = pytest.mark.drill


@pytest.mark.parametrize(
    "moment", [pytest.param(1, marks=DRILL), 7, pytest.param(CHUNKS, marks=DRILL)]
)
def test_a_killed_run_goes_on_where_it_stopped(undisturbed, moment):
    project = undisturbed
    expected = outputs(project)
    reset(project)
    run = subprocess.Popen(
        command(project), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=USER
    )
    try:
        while len(finished(project)) < moment:
            assert run.poll() is None, "the run ended before it could be killed"
            time.sleep(0.02)
        server = server_of(run)
        os.kill(run.pid, signal.SIGKILL)
    finally:
        run.wait(timeout=60)
    before = finished(project)
    assert not (project.valuation / "manifest.json").exists()

    subprocess.run(command(project), check=True, capture_output=True, env=USER)
    assert chunks_of(project) == {"computed": CHUNKS - len(before), "resumed": len(before)}
    assert len(finished(project)) == CHUNKS
    assert outputs(project) == expected
    assert not server.is_running(), "the server of a killed run ends with it"


@DRILL
def test_worker_processes_end_with_the_run_that_started_them(undisturbed):
    project = undisturbed
    reset(project)
    set_params(project, run__runner="processes")
    run = subprocess.Popen(command(project), env=USER, stdout=subprocess.DEVNULL)
    try:
        while not finished(project):
            assert run.poll() is None, "the run ended before it could be killed"
            time.sleep(0.05)
        workers = [
            p for p in psutil.Process(run.pid).children() if "spawn_main" in str(p.cmdline())
        ]
        server = server_of(run)
        run.kill()
    finally:
        run.wait(timeout=60)
        set_params(project, run__runner="threads")
    assert len(workers) == 2
    _, alive = psutil.wait_procs([*workers, server], timeout=10)
    assert alive == []
