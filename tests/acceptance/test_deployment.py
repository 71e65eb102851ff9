"""A real server, worker and deployments, brought up by `unshapley serve`."""

import json
import shutil
import signal
import time

import pytest

from tests.acceptance.serving import Server, left_of, wait_for
from tests.cli import unshapley
from tests.conftest import set_params
from tests.flows.checkouts import build_checkout, deliver, forms
from tests.flows.test_valuation import outputs


def test_a_deployment_runs_the_flow_that_the_command_runs(project, tmp_path):
    """And what works by itself is off until somebody turns it on."""
    server = Server(tmp_path / "server")
    with server.serving(project.root):
        assert server.schedules() == {
            "valuation/project": [],
            "pretrain/project": [],
            "audit/project": [("0 5 * * 0", False)],
            "refresh/project": [("0 3 * * *", False)],
        }
        automations = server.ask("automations/filter", {})
        assert [(a["name"], a["enabled"]) for a in automations] == [
            ("audit project after each valuation", False)
        ]
        done = server.run("valuation/project")
        assert done["state_type"] == "COMPLETED", done["state"]["message"]
        by_worker = outputs(project)
        artifacts = {a["key"]: a for a in server.ask("artifacts/filter", {})}
    assert left_of(server) == []
    assert {"values", "valuation", "progress", "values-picture"} <= set(artifacts)
    assert artifacts["progress"]["data"] == 100
    shown = json.loads(artifacts["values"]["data"])
    assert sorted(row["provider"] for row in shown) == project.providers()

    for path in project.results.iterdir():
        path.unlink()
    assert unshapley("run", "-p", project.root).returncode == 0
    assert outputs(project) == by_worker


@pytest.mark.drill
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_the_end_of_the_server_interrupted_goes_on(project, tmp_path, end):
    set_params(project, pretrain__steps=60000)
    server = Server(tmp_path / "server")
    with server.serving(project.root, end=end):
        run = server.begin("pretrain/project")
        wait_for(lambda: server.ask(f"flow_runs/{run['id']}")["start_time"])
        time.sleep(2)
        refresh = server.ask("deployments/name/refresh/project")
        switch = f"deployments/{refresh['id']}/schedules/{refresh['schedules'][0]['id']}"
        server.ask(switch, {"active": True}, "PATCH")
    wait_for(lambda: left_of(server) == [], 30)
    with server.serving():  # the project is registered
        assert server.schedules()["refresh/project"] == [("0 3 * * *", True)]
        ended = server.end_of(run["id"])
        assert (ended["state_type"], ended["run_count"]) == ("COMPLETED", 2), ended["state"]


@pytest.mark.drill
def test_projects_are_served_side_by_side_by_schedule_and_audited(tmp_path):
    one = build_checkout(tmp_path / "one", ["form-00", "form-01"])
    two = tmp_path / "two"
    shutil.copytree(one.root, two)
    drop = deliver(tmp_path / "drop", "form-02.csv", forms()["form-02"]).parent
    server = Server(tmp_path / "server")
    for command in (
        ("projects", "add", one.root, "--name", "first", "--drop", drop, "--schedule", "* * * * *"),
        ("projects", "add", two, "--name", "second"),
    ):
        server.command(*command)
    with server.serving():
        schedules = server.schedules()
        assert schedules["refresh/first"] == [("* * * * *", True)]
        assert schedules["refresh/second"] == [("0 3 * * *", False)]
        (automation,) = (a for a in server.ask("automations/filter", {}) if "first" in a["name"])
        server.ask(f"automations/{automation['id']}", {"enabled": True}, "PATCH")
        wait_for(lambda: one.tags() and not list(drop.iterdir()), 300)  # it fires by itself
        (tag,) = one.tags()

        def audits():
            return server.ask("flow_runs/filter", {"flows": {"name": {"any_": ["audit"]}}})

        wait_for(audits)
        assert audits()[0]["parameters"]["revision"] == tag.removesuffix("^{}")
        assert server.end_of(audits()[0]["id"])["state_type"] == "COMPLETED"
        for flow, parameters in (
            ("valuation", {"project": str(two)}),
            ("refresh", {"drop": "/etc"}),
        ):
            with pytest.raises(
                OSError, match="409|422"
            ):  # of the schema: those of this project only
                server.begin(f"{flow}/first", **parameters)
    assert one.published()
    assert left_of(server) == []
