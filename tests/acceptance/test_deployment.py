"""A real Prefect server, a process worker, and the deployment of deployments/prefect.yaml."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.cli import unshapley
from tests.conftest import copy_database
from tests.flows.checkouts import FORMS, NAMED, build_checkout, deliver
from tests.flows.test_valuation import outputs

HOME = Path(__file__).resolve().parents[2]
PREFECT = [sys.executable, "-m", "prefect"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Environment that names a server of its own with a worker on the pool `valuations`."""
    tmp_path = tmp_path_factory.mktemp("server")
    port = free_port()
    environment = {
        **os.environ,
        **NAMED,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "UNSHAPLEY_HOME": str(HOME),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    copy_database(tmp_path / "prefect")
    log = (tmp_path / "log").open("w")
    options = {"env": environment, "cwd": HOME, "stdout": log, "stderr": subprocess.STDOUT}
    processes = [subprocess.Popen([*PREFECT, "server", "start", "--port", str(port)], **options)]
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{environment['PREFECT_API_URL']}/ready", timeout=1)
                break
            except OSError:
                time.sleep(1)
        run([*PREFECT, "work-pool", "create", "valuations", "--type", "process"], environment)
        deploy = ["--no-prompt", "deploy", "--all", "--prefect-file", "deployments/prefect.yaml"]
        run([*PREFECT, *deploy], environment)
        worker = [*PREFECT, "worker", "start", "--pool", "valuations", "--limit", "1"]
        processes.append(subprocess.Popen(worker, **options))
        yield environment
    finally:
        for process in reversed(processes):
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:  # a worker does not always end when it is told to
                process.kill()
                process.wait(timeout=30)


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, cwd=HOME, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_deployment_runs_the_flow_that_the_command_runs(project, server):
    where = ["--param", f"project={project.root}", "--watch"]
    run([*PREFECT, "deployment", "run", "valuation/on-demand", *where], server)
    by_worker = outputs(project)
    assert "values.csv" in by_worker
    for path in project.results.iterdir():
        path.unlink()
    assert unshapley("run", "-p", project.root).returncode == 0
    assert outputs(project) == by_worker

    request = urllib.request.Request(
        f"{server['PREFECT_API_URL']}/artifacts/filter", b"{}", {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        artifacts = {a["key"]: a for a in json.load(answer)}
    assert {"values", "valuation", "progress", "values-picture"} <= set(artifacts)
    assert artifacts["progress"]["data"] == 100
    shown = json.loads(artifacts["values"]["data"])
    assert sorted(row["provider"] for row in shown) == project.providers()


@pytest.mark.drill
def test_the_nightly_deployment_refreshes_a_checkout(server, tmp_path):
    place = build_checkout(tmp_path, ["form-00", "form-01"])
    drop = deliver(tmp_path / "drop", "form-02.csv", FORMS["form-02"]).parent
    where = ["--param", f"project={place.root}", "--param", f"drop={drop}", "--watch"]
    run([*PREFECT, "deployment", "run", "refresh/nightly", *where], server)
    assert len(place.tags()) == 1
    assert place.published()
    assert list(drop.iterdir()) == []

    request = urllib.request.Request(
        f"{server['PREFECT_API_URL']}/deployments/name/refresh/nightly"
    )
    with urllib.request.urlopen(request) as answer:
        schedules = json.load(answer)["schedules"]
    assert [(s["schedule"]["cron"], s["active"]) for s in schedules] == [("0 3 * * *", False)]
