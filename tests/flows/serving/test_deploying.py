"""Pool and deployments on a real server: what somebody switched there stays, and what was missed."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.states import Crashed, Running

from flows.runtime.projects import Registered
from flows.serving.deploying import deploy, make_pool, withdraw
from flows.serving.deployments import deployments_of
from flows.serving.interrupted import note_running, resume, skip_missed
from flows.serving.pools import template_of
from unshapley.errors import InputError

HOME = Path(__file__).resolve().parents[3]


@pytest.fixture
def client():
    with get_client(sync_client=True) as client:
        make_pool(client, "process", template_of("process"))
        yield client
        withdraw(client, [])


@pytest.fixture
def clinics(tmp_path):
    shutil.copy(HOME / "params.yaml", tmp_path)
    return Registered("clinics", tmp_path)


def put(client, project, flow, **options):
    (made,) = (d for d in deployments_of(project) if d.flow == flow)
    return deploy(client, made, **options)


def stored(client, flow):
    return client.read_deployment_by_name(f"{flow}/clinics")


def test_a_schedule_stays_as_it_was_switched(client, clinics):
    def state():
        (schedule,) = stored(client, "refresh").schedules
        return schedule.schedule.cron, schedule.active

    def switch(*, active):
        found = stored(client, "refresh")
        client.update_deployment_schedule(found.id, found.schedules[0].id, active=active)

    put(client, clinics, "refresh")
    assert state() == ("0 3 * * *", False)
    switch(active=True)
    put(client, clinics, "refresh")
    assert state() == ("0 3 * * *", True)
    hourly = Registered("clinics", clinics.folder, schedule="5 * * * *")
    put(client, hourly, "refresh")
    assert state() == ("5 * * * *", True)
    switch(active=False)
    put(client, hourly, "refresh")
    assert state() == ("5 * * * *", False)
    put(client, hourly, "refresh", switch_on=True)
    assert state() == ("5 * * * *", True)


def test_an_automation_stays_as_it_was_switched(client, clinics):
    for enabled in (False, True):
        put(client, clinics, "audit")
        (automation,) = client.read_automations_by_name("audit clinics after each valuation")
        assert automation.enabled is enabled
        client.resume_automation(automation.id)


@pytest.mark.parametrize(
    ("flow", "given", "message"),
    [
        ("valuation", {"params": {"valuation": {"budget": "many"}}}, "valuation.budget = 'many'"),
        ("refresh", {"limit_minutes": "soon"}, "limit_minutes: 'soon' is not of type 'number'"),
        ("refresh", {"hurry": True}, "hurry: there is no such parameter; there are project, drop"),
    ],
)
def test_parameters_of_a_schedule_of_another_version_are_told(
    client, clinics, flow, given, message
):
    put(client, clinics, flow)
    added = {"schedule": {"cron": "7 7 * * *"}, "parameters": given, "active": False}
    known = stored(client, flow).id
    client.request("PATCH", f"/deployments/{known}", json={"enforce_parameter_schema": False})
    client.request("POST", f"/deployments/{known}/schedules", json=[added]).raise_for_status()
    _, problems = put(client, clinics, flow)
    assert [message in problem for problem in problems] == [True]
    assert given in [schedule.parameters for schedule in stored(client, flow).schedules]


def test_a_parameter_that_a_flow_no_longer_has_is_dropped_and_told(client, clinics):
    put(client, clinics, "refresh")
    parameters = {**stored(client, "refresh").parameters, "hurry": True}
    body = {"parameters": parameters, "enforce_parameter_schema": False}
    client.request("PATCH", f"/deployments/{stored(client, 'refresh').id}", json=body)
    _, (told,) = put(client, clinics, "refresh")
    assert told == "refresh/clinics: its flow no longer has the parameter hurry, which is dropped"
    assert "hurry" not in stored(client, "refresh").parameters


def test_stored_parameters_are_kept_and_told_where_they_are_of_another_version(client, clinics):
    put(client, clinics, "valuation")
    for budget in ({"budget": 7}, {"budgets": 7}):
        parameters = {"project": "/elsewhere", "params": {"valuation": budget}}
        client.request(
            "PATCH",
            f"/deployments/{stored(client, 'valuation').id}",
            json={"parameters": parameters, "enforce_parameter_schema": False},
        )
        _, problems = put(client, clinics, "valuation")
        assert stored(client, "valuation").parameters == {
            "project": str(clinics.folder),
            "params": {"valuation": budget},
        }
        assert bool(problems) == ("budgets" in budget)
    assert "unknown key 'valuation.budgets'" in problems[0]


def test_deployments_of_what_is_no_longer_registered_are_withdrawn(client, clinics):
    put(client, clinics, "audit")
    assert withdraw(client, [clinics]) == []
    assert withdraw(client, []) == ["clinics"]
    assert client.read_automations_by_name("audit clinics after each valuation") == []


def test_a_pool_of_another_kind_is_said(client):
    with pytest.raises(InputError, match="is of the kind process"):
        make_pool(client, "docker", template_of("docker"))


def test_interrupted_runs_go_on_and_of_missed_ones_the_last(client, clinics, tmp_path):
    put(client, clinics, "refresh")
    known = stored(client, "refresh").id
    client.update_deployment_schedule(known, stored(client, "refresh").schedules[0].id, active=True)
    now = datetime.now(UTC)
    week = {"start_time": str(now - timedelta(days=7)), "end_time": str(now), "max_runs": 9}
    client.request("POST", f"/deployments/{known}/schedule", json=week)
    assert skip_missed(client) == 2  # the server makes three at once
    assert skip_missed(client) == 0

    put(client, clinics, "pretrain")
    killed, stopped, failed = (
        client.create_flow_run_from_deployment(stored(client, "pretrain").id) for _ in range(3)
    )
    note = tmp_path / "interrupted.json"
    for run in (killed, stopped, failed):
        client.set_flow_run_state(run.id, Running(), force=True)
    client.set_flow_run_state(failed.id, Crashed(), force=True)
    note_running(client, note)
    client.set_flow_run_state(stopped.id, Crashed(), force=True)
    assert sorted(resume(client, note)) == sorted([killed.name, stopped.name])
    assert [client.read_flow_run(r.id).state_type for r in (killed, stopped, failed)] == [
        StateType.SCHEDULED,
        StateType.SCHEDULED,
        StateType.CRASHED,
    ]
    assert not note.exists()
