"""A server of Prefect's own commands, on SQLite or on PostgreSQL, as another team may run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.clusters import ENV, free_port, started
from tests.conftest import copy_database

HOME = Path(__file__).resolve().parents[1]
PREFECT = [sys.executable, "-m", "prefect"]
POSTGRES = os.environ.get("UNSHAPLEY_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1/postgres")  # fmt: skip


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """URL of a database of its own, which is dropped."""
    if kind == "sqlite":
        copy_database(folder)
        yield f"sqlite+aiosqlite:///{folder}/prefect.db"
        return
    name, engine = f"u{uuid.uuid4().hex[:12]}", sa.create_engine(POSTGRES, isolation_level="AUTOCOMMIT")  # fmt: skip
    try:
        with engine.connect() as connection:
            connection.execute(sa.text(f"create database {name}"))
    except sa.exc.OperationalError:
        pytest.skip(f"no PostgreSQL answers at {POSTGRES}: UNSHAPLEY_TEST_POSTGRES names another")
    try:
        url = sa.make_url(POSTGRES).set(drivername="postgresql+asyncpg", database=name)
        yield url.render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(sa.text(f"drop database {name} with (force)"))


class Api:
    """What commands need to find the server, and what it answers."""

    def __init__(self, folder: Path, url: str, process: subprocess.Popen) -> None:
        self.folder, self.url, self.process = folder, url, process
        self.environment = {**ENV, "PREFECT_HOME": str(folder), "PREFECT_API_URL": url}

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/{path}", data, {"content-type": "application/json"})  # fmt: skip
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or "null")

    def run(self, *command: object) -> str:
        done = subprocess.run([*map(str, command)], env=self.environment, cwd=HOME, capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def serving(kind: str, folder: Path, **environment: str) -> Iterator[Api]:
    """A server on a database of this kind."""
    folder.mkdir(exist_ok=True)
    with database(kind, folder) as connection:
        port = free_port()
        settings = {"PREFECT_HOME": str(folder), "PREFECT_API_DATABASE_CONNECTION_URL": connection, "PREFECT_SERVER_ANALYTICS_ENABLED": "false", **environment}  # fmt: skip
        command = [*PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        with started(command, folder / "server.log", **settings) as process:
            url = f"http://127.0.0.1:{port}/api"
            until = time.monotonic() + 180
            while time.monotonic() < until:
                with suppress(OSError):
                    urllib.request.urlopen(f"{url}/ready", timeout=1)
                    yield Api(folder, url, process)
                    return
                assert process.poll() is None, (folder / "server.log").read_text()
                time.sleep(0.2)
            raise AssertionError((folder / "server.log").read_text())
