"""A team's server: its credentials, and that nothing shows them."""

import subprocess
import sys

import pytest

from flows.runtime.guard import GUARD
from flows.serving.settings import Settings, worker_environment
from flows.serving.team import (
    check_redis,
    client_environment,
    credentials,
    redis_url,
    team_environment,
)
from unshapley.errors import InputError

SHOWN = "from prefect.settings import get_current_settings as s; print(s().model_dump_json())"
"""What the API answers at /admin/settings."""


@pytest.fixture
def team(tmp_path):
    address = "postgresql+asyncpg://me:planted-postgres@h/d"
    return Settings(
        tmp_path,
        database=address,
        redis="redis://:planted-redis@h:6379/0",
        auth="team:planted-password",
    )


def test_the_settings_that_the_api_shows_hold_no_password(team):
    command = [sys.executable, "-c", SHOWN]
    shown = subprocess.run(
        command, env=team_environment(team), capture_output=True, text=True, check=True
    ).stdout
    assert "csrf_protection_enabled" in shown
    assert "planted" not in shown
    assert "planted" not in repr(team)


def test_a_worker_gets_credentials_and_guard_and_no_other_password(team):
    known = worker_environment(client_environment(team, team_environment(team)))
    assert known["PREFECT_API_AUTH_STRING"] == "team:planted-password"
    assert known[GUARD].endswith("projects.json")
    assert not any("planted-redis" in v or "planted-postgres" in v for v in known.values())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "none are set"),
        ("team", "is no user:password"),
        (":" + "x" * 20, "is no user:password"),
        ("team:short", "too short"),
    ],
)
def test_credentials_that_are_none_or_weak_are_refused(monkeypatch, given, message):
    monkeypatch.delenv("PREFECT_SERVER_API_AUTH_STRING", raising=False)
    monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
    if given:
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", given)
    with pytest.raises(InputError, match=message):
        credentials()


def test_the_address_of_redis_takes_its_password_from_the_environment(monkeypatch):
    monkeypatch.setenv("REDIS_PASSWORD", "a@b")
    assert redis_url("redis://:$REDIS_PASSWORD@h:6379/0") == "redis://:a%40b@h:6379/0"
    for given, message in (
        ("redis://:secret@h/0", "on the command line"),
        ("redis://:$NOT_THERE@h/0", "holds no NOT_THERE"),
        ("http://h", "no address of Redis"),
    ):
        with pytest.raises(InputError, match=message):
            redis_url(given)
    with pytest.raises(InputError, match="Redis cannot be used") as caught:
        check_redis("redis://:secret@127.0.0.1:9/0")
    assert "secret" not in str(caught.value)
