"""Prefect's server for one command."""

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
