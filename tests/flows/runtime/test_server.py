"""Prefect's server for one command."""

import os

import pytest

from flows.runtime.server import EmbeddedServer, embedded_server
from unshapley.errors import UntrustedError


def test_the_server_outlives_an_error_of_the_flow(monkeypatch):
    """Prefect delivers the last records when the process ends; without a server it waits in vain,
    for a minute and a half.
    """
    stopped = []
    monkeypatch.setattr(EmbeddedServer, "start", lambda _: None)
    monkeypatch.setattr(EmbeddedServer, "stop", stopped.append)
    with pytest.raises(UntrustedError), embedded_server():
        raise UntrustedError("not published")
    assert stopped == []


def test_a_server_that_is_kept_up_on_the_same_home_is_used(tmp_path, monkeypatch):
    """Two servers on one SQLite file would lock each other out."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_URL", "")
    started = []

    def start(server):
        started.append(server)

    monkeypatch.setattr(EmbeddedServer, "start", start)
    (tmp_path / "serve").mkdir()
    (tmp_path / "serve" / "api").write_text("http://127.0.0.1:9/api")  # of one that was killed
    with embedded_server():
        assert len(started) == 1
    monkeypatch.setattr("flows.runtime.server.answers", lambda _: True)
    with embedded_server():
        assert os.environ["PREFECT_API_URL"] == "http://127.0.0.1:9/api"
    assert len(started) == 1
