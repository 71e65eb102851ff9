"""A Prefect server of its own for a benchmark, on SQLite or on PostgreSQL, and what it takes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa
from prefect.settings import PREFECT_API_URL, temporary_settings

LOCAL = "postgresql+psycopg://postgres@127.0.0.1/postgres"
POSTGRES = os.environ.get("UNSHAPLEY_TEST_POSTGRES", LOCAL)


class PrefectServer:
    """peak_mb: largest resident memory so far, sampled twice a second, in MiB."""

    def __init__(self, url: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.url, self.process, self.log, self.peak_mb = url, process, log, 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        data, kind = json.dumps(body).encode(), {"content-type": "application/json"}
        request = urllib.request.Request(f"{self.url}/{path}", data, kind)  # noqa: S310
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return json.loads(answer.read())

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        return sum(psutil.Process(self.process.pid).cpu_times()[:2])

    def recorded(self, count: int, patience: float = 120) -> int:
        """Task runs that it has recorded as ended, waiting for so many."""
        ended = {"task_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}}}
        until = time.monotonic() + patience
        while (found := self.ask("task_runs/count", ended)) < count and time.monotonic() < until:
            time.sleep(1)
        return int(found)

    def locked(self) -> int:
        """Lines of its log that say that the database is locked."""
        return self.log.read_text(errors="replace").count("database is locked")

    def _watch(self) -> None:
        with suppress(psutil.Error):
            while True:
                rss = psutil.Process(self.process.pid).memory_info().rss
                self.peak_mb = max(self.peak_mb, rss / 2**20)
                time.sleep(0.5)


@contextmanager
def serving(kind: str, folder: Path) -> Iterator[PrefectServer]:
    """A server with all its services; this process and those it starts use it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, log = f"http://127.0.0.1:{port}/api", folder / "server.log"
    with _database(kind, folder) as database, log.open("w") as out:
        settings = {
            "PREFECT_HOME": str(folder),
            "PREFECT_API_DATABASE_CONNECTION_URL": database,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }
        start = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(
            [sys.executable, "-m", *start], env={**os.environ, **settings}, stdout=out, stderr=out
        )
        try:
            for _ in range(600):
                with suppress(OSError):
                    urllib.request.urlopen(f"{url}/ready", timeout=1)  # noqa: S310
                    break
                time.sleep(0.5)
            os.environ["PREFECT_API_URL"] = url  # for processes
            with temporary_settings({PREFECT_API_URL: url}):  # for this one, which read it before
                yield PrefectServer(url, process, log)
        finally:
            os.environ.pop("PREFECT_API_URL", None)
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite+aiosqlite:///{folder}/prefect.db"
        return
    name = f"u{uuid.uuid4().hex[:12]}"
    engine = sa.create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"create database {name}"))
    try:
        url = sa.make_url(POSTGRES).set(drivername="postgresql+asyncpg", database=name)
        yield url.render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(sa.text(f"drop database {name} with (force)"))
