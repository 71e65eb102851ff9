"""Runs of killed processes on a server: marked as crashed by who holds their lock."""

import shutil
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.runtime import flow_run
from prefect.states import Running

from flows.runtime.booking import booked, booked_device
from flows.runtime.locks import _locked
from flows.runtime.reaping import reap
from unshapley.config import Params
from unshapley.project import Project


@pytest.fixture
def client():
    with get_client(sync_client=True) as client:
        yield client


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


def test_the_next_that_holds_the_lock_marks_a_killed_run_as_crashed(client, tmp_path):
    project = Project(tmp_path)
    lost = killed(client, project)
    own = UUID(holding(project, "lock"))
    state = client.read_flow_run(lost).state
    assert state.name == "Crashed"
    assert "ended without a word" in state.message
    assert client.read_flow_run(own).state.name == "Completed"


def test_a_run_that_may_live_is_left_alone(client, tmp_path):
    project = Project(tmp_path / "a")
    lost = killed(client, project)
    copy = Project(shutil.copytree(project.root, tmp_path / "b"))
    for other, lock in ((copy, "lock"), (project, "audit.lock"), (Project(tmp_path / "c"), "lock")):
        holding(other, lock)
    assert client.read_flow_run(lost).state.name == "Running"


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
