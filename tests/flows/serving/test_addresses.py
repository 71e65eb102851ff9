"""Which address is listened to, and the database's: one clear error for each that is no use."""

import os
import socket

import pytest

from flows.serving import database
from flows.serving.database import check_database, database_url
from flows.serving.settings import Settings, check_host, check_port, worker_environment
from unshapley.errors import InputError


def test_a_port_that_is_taken_is_said(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="cannot be had: Address already in use"):
            check_port(Settings(tmp_path, port=taken.getsockname()[1]))


def test_without_authentication_only_this_machine_is_listened_to():
    check_host("127.0.0.1")
    with pytest.raises(InputError, match="could run what they like"):
        check_host("0.0.0.0")


def test_a_password_comes_from_the_environment_only(monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "s3cr:t")
    assert (
        database_url("postgresql://me:$DB_PASSWORD@h/d") == "postgresql+asyncpg://me:s3cr%3At@h/d"
    )
    for given, message in (
        ("postgresql://me:secret@h/d", "a password stands on the command line"),
        ("postgresql://me:$MISSING@h/d", "the environment holds no MISSING"),
        ("mysql://h/d", "mysql does not carry a server"),
        ("nonsense", "is no address of a database"),
    ):
        with pytest.raises(InputError, match=message):
            database_url(given)


def test_a_database_that_does_not_answer_is_said(monkeypatch):
    monkeypatch.setattr(database, "SECONDS", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql+asyncpg://me:secret@127.0.0.1:{silent.getsockname()[1]}/d"
        with pytest.raises(InputError, match="has not answered for") as caught:
            check_database(url)
        assert "secret" not in str(caught.value)
    with pytest.raises(InputError, match="the database cannot be used"):
        check_database("postgresql+asyncpg://me@127.0.0.1:9/d")


def test_a_worker_does_not_know_what_only_the_server_needs():
    secret = {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql://a:b@c/d",
        "PREFECT_API_AUTH_STRING": "u:p",
    }
    known = worker_environment({**os.environ, **secret})
    assert "PREFECT_SERVER_DATABASE_CONNECTION_URL" not in known
    assert known["PREFECT_API_AUTH_STRING"] == "u:p"


def test_postgresql_that_refuses_is_said():
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 5432)):
            pytest.skip("no PostgreSQL answers on 127.0.0.1:5432")
    with pytest.raises(InputError, match="the database cannot be used: ") as caught:
        check_database("postgresql+asyncpg://127.0.0.1:5432/unshapley_not_there")
    assert "createdb" in str(caught.value)
