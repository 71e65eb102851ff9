"""Who answers at the address of a Prefect server: one clear error for each that is of no use."""

import http.server
import json
import threading

import pytest

from flows.runtime import server
from flows.runtime.addresses import check_server
from tests.cli import unshapley
from unshapley.errors import InputError


@pytest.fixture
def answering():
    """A function that starts a server with one answer, and gives its address."""
    servers = []

    def start(status, content):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/api"

    yield start
    for each in servers:
        each.shutdown()
        each.server_close()


@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (200, json.dumps("2.19.0"), "the server there is Prefect 2.19.0, and this is 3."),
        (200, "<html>", "no Prefect server: it answers something else"),
        (404, "", "no Prefect server: it answers 404"),
        (401, "", "the server asks for credentials"),
    ],
)
def test_a_server_of_no_use_is_said(answering, status, content, message):
    with pytest.raises(InputError, match=message):
        check_server(answering(status, content.encode()))


def test_an_address_that_answers_nothing_is_said():
    with pytest.raises(InputError, match="nothing answers there"):
        check_server("http://127.0.0.1:9/api")


@pytest.mark.parametrize("command", ["run", "refresh", "alerts"])
def test_a_command_says_so_before_it_does_anything(command, project, monkeypatch):
    monkeypatch.setattr(server, "named_url", lambda: "http://127.0.0.1:9/api")
    before = {path: path.stat().st_mtime_ns for path in project.root.rglob("*")}
    done = unshapley(command, *([] if command == "alerts" else ["-p", project.root]))
    assert done.returncode == 2
    assert done.stderr.startswith("error: PREFECT_API_URL=http://127.0.0.1:9/api: nothing answers")
    assert "do: start the server, correct the address, or unset it" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in project.root.rglob("*")} == before


def test_a_server_that_is_reached_by_a_key_is_left_to_prefect(monkeypatch):
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_")
    check_server("http://127.0.0.1:9/api")
