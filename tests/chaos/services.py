"""What a run leans on, for real: an API server of Prefect's, SQLite, PostgreSQL, a full disk, a clock."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from flows.runtime.server import APP, SHORT, answers, ends_with_parent

HOME = Path(__file__).resolve().parents[2]
STARTS_WITHIN = 120.0
CLOCK = Path(__file__).with_name("clock.c")
DEPLOY = """
import sys
from pathlib import Path
from prefect.client.orchestration import get_client
from flows.runtime.projects import Registered
from flows.serving.deploying import deploy, make_pool
from flows.serving.deployments import deployments_of
from flows.serving.pools import template_of

folder = Path(sys.argv[1])
with get_client(sync_client=True) as client:
    make_pool(client, "process", template_of("process"))
    for deployment in deployments_of(Registered(folder.name, folder)):
        deploy(client, deployment)
"""


class NotHereError(Exception):
    """A fault that this machine cannot make; the text says why."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class ApiServer:
    """Prefect's API server at one address, which can be killed and started again.

    database: address of its database; its own SQLite file if empty.
    """

    home: Path
    database: str = ""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def env(self) -> dict[str, str]:
        return {"PREFECT_API_URL": self.url, "PREFECT_HOME": str(self.home)}

    def start(self) -> None:
        """Start it and wait until it answers."""
        address = {"PREFECT_API_DATABASE_CONNECTION_URL": self.database} if self.database else {}
        arguments = ["--factory", APP, "--host", "127.0.0.1", "--port", str(self.port)]
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", *arguments, "--log-level", "error"],
                env={**os.environ, **SHORT, **self.env, **address},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=ends_with_parent,  # noqa: PLW1509 (no other thread runs)
            )
        until = time.monotonic() + STARTS_WITHIN
        while not answers(self.url):
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{self.url} does not answer: {self.home / 'log'}")
            time.sleep(0.1)

    def running(self) -> ApiServer:
        if self.process is None or self.process.poll() is not None:
            self.start()
        return self

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Worker:
    """A process worker of Prefect's that serves our deployments, on a server of its own."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server.running()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> psutil.Process:
        self.process = self._prefect("worker", "start", "--pool", "valuations")
        return psutil.Process(self.process.pid)

    def ask_for(self, project: Path) -> None:
        """Let the worker value a project."""
        if self._python("-c", DEPLOY, str(project)).wait():
            raise RuntimeError(f"cannot be deployed: {self.server.home / 'log'}")
        if self._prefect("deployment", "run", f"valuation/{project.name}").wait():
            raise RuntimeError(f"no run was made: {self.server.home / 'log'}")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _prefect(self, *words: str) -> subprocess.Popen[bytes]:
        return self._python("-m", "prefect", *words)

    def _python(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.server.home / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *words],
                env={**os.environ, **self.server.env},
                cwd=HOME,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=ends_with_parent,  # noqa: PLW1509 (no other thread runs)
            )


@contextmanager
def locked_sqlite(home: Path) -> Iterator[None]:
    """Hold Prefect's database so that nobody else can write to it, as a backup does."""
    with closing(
        sqlite3.connect(home / "prefect.db", timeout=60, isolation_level=None)
    ) as database:
        database.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            database.execute("ROLLBACK")


class Postgres:
    """A cluster of its own on loopback, which can be restarted as after a crash."""

    def __init__(self) -> None:
        self.programs = _postgres_programs()
        self.folder = Path(tempfile.mkdtemp(prefix="chaos-postgres-"))
        # PostgreSQL refuses to work as root
        self.user = "postgres" if os.geteuid() == 0 else None
        if self.user:
            shutil.chown(self.folder, self.user, self.user)
        self.port = free_port()
        self._run(
            "initdb", "-A", "trust", "-U", "prefect", "-E", "UTF8", "-D", self.folder / "data"
        )
        self.start()
        self._run("createdb", "-h", "127.0.0.1", "-p", self.port, "-U", "prefect", "prefect")

    @property
    def address(self) -> str:
        return f"postgresql+asyncpg://prefect@127.0.0.1:{self.port}/prefect"

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder}"
        log = ("-l", self.folder / "log")
        self._run("pg_ctl", "-D", self.folder / "data", *log, "-w", "-o", options, "start")

    def crash(self) -> None:
        """End it at once, without a checkpoint: it recovers when it starts again."""
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")

    def remove(self) -> None:
        self.crash()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self.programs / program), *map(str, arguments)]
        with (self.folder / "output").open("ab") as log:
            subprocess.run(command, check=True, user=self.user, cwd="/", stdout=log, stderr=log)


def _postgres_programs() -> Path:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        raise NotHereError("PostgreSQL is not installed (Debian's package postgresql)")
    return folders[-1]


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system in memory at `folder` that holds so many bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    mount(folder, size)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def mount(folder: Path, size: int, *, again: bool = False) -> None:
    """Mount it, or `again` with another size."""
    options = f"{'remount,' if again else ''}size={size // 1024}k"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NotHereError(f"no tmpfs can be mounted ({done.stderr.strip()})")


class Clock:
    """The time of day of the processes that start with `env`, which can be set while they work.

    A library that a C compiler makes of `clock.c`. Debian's faketime (0.9.10) cannot show it: Python
    sleeps until a moment of the monotonic clock, where faketime either fails (its issue 426) or fakes
    that clock too, so that no wait with a timeout ends (390). Files keep the kernel's time.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise NotHereError("there is no C compiler (Debian's package gcc)")
        self.file, library = folder / "clock", folder / "clock.so"
        self.set_by(0)
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", library, CLOCK, "-ldl"]
        subprocess.run(command, check=True)
        self.env = {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(self.file)}

    def set_by(self, seconds: int) -> None:
        """Let it differ by so much from the machine's."""
        self.file.touch()
        with self.file.open("r+b") as file:  # in place: the processes have mapped it
            file.write(seconds.to_bytes(8, sys.byteorder, signed=True))
