"""A real Prefect server, a process worker, and the deployment of deployments/prefect.yaml."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.cli import unshapley
from tests.conftest import copy_database
from tests.flows.checkouts import NAMED, build_checkout, deliver, forms
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
        "PREFECT_WORKER_QUERY_SECONDS": "1",  # how often a worker looks for runs
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


def ask(server: dict[str, str], path: str, body: bytes | None = None, method: str = "") -> Any:
    """What the API answers."""
    url = f"{server['PREFECT_API_URL']}/{path}"
    verb = method or ("GET" if body is None else "POST")
    request = urllib.request.Request(url, body, {"content-type": "application/json"}, method=verb)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read() or "null")


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

    artifacts = {a["key"]: a for a in ask(server, "artifacts/filter", b"{}")}
    assert {"values", "valuation", "progress", "values-picture"} <= set(artifacts)
    assert artifacts["progress"]["data"] == 100
    shown = json.loads(artifacts["values"]["data"])
    assert sorted(row["provider"] for row in shown) == project.providers()


def test_what_works_by_itself_is_off_until_somebody_turns_it_on(server):
    """Deploying alone must not begin to push, or to compute."""
    found = {
        name: [(s["schedule"]["cron"], s["active"]) for s in ask(server, f"deployments/name/{name}")["schedules"]]
        for name in ("valuation/on-demand", "audit/on-demand", "audit/scheduled", "refresh/nightly")
    }  # fmt: skip
    assert found == {
        "valuation/on-demand": [],
        "audit/on-demand": [],
        "audit/scheduled": [("0 5 * * 0", False)],
        "refresh/nightly": [("0 3 * * *", False)],
    }
    automations = ask(server, "automations/filter", b"{}")
    assert [(a["name"], a["enabled"]) for a in automations] == [("audit after a refresh", False)]


@pytest.mark.drill
def test_deployments_refresh_a_checkout_at_night_and_audit_it(server, tmp_path):
    place = build_checkout(tmp_path, ["form-00", "form-01"])
    drop = deliver(tmp_path / "drop", "form-02.csv", forms()["form-02"]).parent
    where = ["--param", f"project={place.root}", "--param", f"drop={drop}", "--watch"]
    run([*PREFECT, "deployment", "run", "refresh/nightly", *where], server)
    assert len(place.tags()) == 1
    assert place.published()
    assert list(drop.iterdir()) == []

    (automation,) = ask(server, "automations/filter", b"{}")
    on = b'{"enabled": true}'
    ask(server, f"automations/{automation['id']}", on, "PATCH")
    few = ["--param", 'settings={"sample": 6, "retrain": 1}']
    where = ["--param", f"project={place.root}", *few, "--watch"]
    run([*PREFECT, "deployment", "run", "audit/on-demand", *where], server)
    (path,) = (place.data / "audit").glob("*/audit.json")
    assert json.loads(path.read_text())["verdict"].startswith("reproduced")

    # a refresh that ends well asks for an audit, here of the folder that the deployment names
    run([*PREFECT, "deployment", "run", "refresh/nightly", *where[:2], "--watch"], server)
    wanted = b'{"flows": {"name": {"any_": ["audit"]}}}'
    for _ in range(60):
        runs = ask(server, "flow_runs/filter", wanted)
        if len(runs) == 2:
            break
        time.sleep(1)
    assert sorted(r["created_by"]["type"] for r in runs if r["created_by"]) == ["AUTOMATION"]
