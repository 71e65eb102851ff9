"""Runs of killed processes on a server: marked as crashed by the next flow of the project."""

import shutil
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists
from prefect.flow_engine import run_flow
from prefect.runtime import flow_run
from prefect.states import Completed, Pending, Running

from flows.runtime import reaping, unbegun
from flows.runtime.booking import booked, booked_device
from flows.runtime.locks import AUDIT, REFRESH, RUN, _locked, only_run
from flows.runtime.projects import Registered
from flows.runtime.reaping import reap
from flows.runtime.unbegun import FLOWS
from flows.serving.deployments import deployments_of
from unshapley.config import Params
from unshapley.project import Project


@pytest.fixture
def client():
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(reaping, "TO_END", 0.0)


@flow
def holding(project: Project, lock: str) -> str:
    with _locked(project.results.parent / lock, "busy"):
        reap(project, lock)
    return flow_run.id


def killed(client, project, lock="lock") -> UUID:
    """A run that the server believes to go on for ever."""
    run = UUID(holding(project, lock))
    client.set_flow_run_state(run, Running(), force=True)
    return run


@pytest.mark.parametrize("lock", [RUN, REFRESH, AUDIT])
def test_the_next_flow_of_the_project_marks_a_killed_run_as_crashed(client, tmp_path, lock):
    """Also one inside another flow, as is the valuation of a refresh, whose lock is not its own."""
    project = Project(tmp_path)
    lost = killed(client, project)
    own = UUID(holding(project, lock))
    state = client.read_flow_run(lost).state
    assert state.name == "Crashed"
    assert "ended without a word" in state.message
    assert client.read_flow_run(own).state.name == "Completed"


def test_a_run_that_may_live_is_left_alone(client, tmp_path):
    project = Project(tmp_path / "a")
    lost = killed(client, project)
    copy = Project(shutil.copytree(project.root, tmp_path / "b"))
    for other in (copy, Project(tmp_path / "c")):
        holding(other, RUN)
    with only_run(project):
        holding(project, REFRESH)
    assert client.read_flow_run(lost).state.name == "Running"


def test_a_run_that_ends_meanwhile_has_ended(client, tmp_path, monkeypatch):
    """It releases its lock a moment before it reports its end."""
    project = Project(tmp_path)
    late = killed(client, project)
    monkeypatch.setattr(
        reaping.time, "sleep", lambda _: client.set_flow_run_state(late, Completed())
    )
    holding(project, RUN)
    assert client.read_flow_run(late).state.name == "Completed"


@flow(name="valuation")
def valuation(project: str) -> str:
    return flow_run.id


def claimed(client, project, worker="gone", pid=None) -> UUID:
    """A run that a worker has claimed, and that no process has begun."""
    with suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name="pool", type="process"))
    parameters = {"project": str(project.root)}
    run = client.create_flow_run(
        valuation, None, parameters, state=Pending(), work_pool_name="pool"
    ).id
    if worker:
        client.update_flow_run_labels(run, {unbegun.BY: worker})
    if pid:
        client.update_flow_run(run, infrastructure_pid=pid)
    return run


def state_after(client, run, project) -> str:
    """Of a run, when another flow of this project has begun."""
    holding(project, AUDIT)
    return client.read_flow_run(run).state.name


@pytest.mark.parametrize("who", [{}, {"pid": "123"}, {"worker": None}])
def test_a_run_that_nobody_will_begin_is_marked_too(client, tmp_path, monkeypatch, who):
    project = Project(tmp_path)
    run = claimed(client, project, **who)
    assert state_after(client, run, Project(tmp_path / "other")) == "Pending"
    if who:  # something may be on the way to it, and needs no more than some minutes
        assert state_after(client, run, project) == "Pending"
        monkeypatch.setattr(unbegun, "TO_BEGIN", timedelta(0))
    assert state_after(client, run, project) == "Crashed"


def test_what_a_living_worker_has_claimed_is_left_to_it(client, tmp_path, monkeypatch):
    project = Project(tmp_path)
    run = claimed(client, project, "here")
    client.send_worker_heartbeat("pool", "here", get_worker_id=False)
    monkeypatch.setattr(unbegun, "TO_BEGIN", timedelta(0))
    assert state_after(client, run, project) == "Pending"
    monkeypatch.setattr(unbegun, "AT_MOST", timedelta(0))  # of another one of the same name
    assert state_after(client, run, project) == "Crashed"


def test_a_run_that_begins_all_the_same_goes_on(client, tmp_path):
    project = Project(tmp_path)
    run = claimed(client, project)
    assert state_after(client, run, project) == "Crashed"
    parameters = {"project": str(project.root)}
    run_flow(valuation, flow_run=client.read_flow_run(run), parameters=parameters)
    assert client.read_flow_run(run).state.name == "Completed"


def test_all_our_flows_are_looked_at(tmp_path):
    (tmp_path / "params.yaml").write_text("{}")
    assert {d.flow for d in deployments_of(Registered("it", tmp_path))} == set(FLOWS)


def test_a_device_is_held_by_one_run_at_a_time(client):
    device = "cuda GPU-of-a-test"

    @flow
    def computing() -> int:
        with booked(device):
            with pytest.raises(TimeoutError), concurrency(device, timeout_seconds=0.1, strict=True):
                pass
            return client.read_global_concurrency_limit_by_name(device).active_slots

    for _ in range(2):
        assert computing() == 1
        assert client.read_global_concurrency_limit_by_name(device).active_slots == 0


def test_a_slot_whose_holder_nobody_knows_is_freed(client):
    device = "cuda GPU-of-another-test"

    @flow
    def computing() -> None:
        with booked(device):
            pass

    computing()
    from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate

    client.update_global_concurrency_limit(device, GlobalConcurrencyLimitUpdate(active_slots=1))
    computing()
    assert client.read_global_concurrency_limit_by_name(device).active_slots == 0


def test_a_processor_is_not_booked(client):
    before = {limit.name for limit in client.read_global_concurrency_limits()}
    with booked_device(Params()):
        assert {limit.name for limit in client.read_global_concurrency_limits()} == before
