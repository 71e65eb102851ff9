"""What is served, and the environment of each process; nothing of it imports Prefect."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flows.serving.database import SECRET_SETTINGS, password_in
from unshapley.errors import InputError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PREFECT = (sys.executable, "-m", "prefect")


@dataclass(frozen=True)
class Settings:
    """How the server is to run.

    home: folder of its SQLite file, its logs and the list of projects; database: SQLAlchemy URL,
    None for SQLite; pool: kind of the work pool; image: of its containers; template: of its
    jobs, in place of ours; redis: URL, what the replicas of the API share; auth: user:password that
    it asks for, None where it asks for none; runs: so many at once on
    this machine.
    """

    home: Path
    host: str = "127.0.0.1"
    port: int = 4200
    database: str | None = field(default=None, repr=False)
    pool: str = "process"
    image: str | None = None
    template: Path | None = None
    runs: int = 2
    redis: str | None = field(default=None, repr=False)
    replicas: int = 1
    auth: str | None = field(default=None, repr=False)

    @property
    def team(self) -> bool:
        return self.auth is not None

    @property
    def ui(self) -> str:
        """Address of the user interface, from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def api(self) -> str:
        return f"{self.ui}/api"

    @property
    def logs(self) -> Path:
        return self.home / "serve"


def check_host(host: str) -> None:
    """Raise `InputError` where others could reach a server that asks nobody who they are."""
    if host not in LOOPBACK:
        raise InputError(
            f"whoever reaches {host} could run what they like as this user",
            where="--host",
            expected="an address of this machine only: the server asks for no password",
            do="use --team, which does, or a tunnel (`ssh -L`)",
        )


def check_port(settings: Settings) -> None:
    """Raise `InputError` for a port that another process holds, or this user may not have."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise InputError(
                f"{settings.host}:{settings.port} cannot be had: {error.strerror}",
                where="--port",
                do="end what holds it, or take another; a Prefect server that runs there is used "
                f"if you say so: PREFECT_API_URL={settings.api}",
            ) from None


def server_environment(settings: Settings) -> dict[str, str]:
    """Environment of the server's processes."""
    database = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": settings.database}
    return {
        **os.environ,
        **{k: v for k, v in database.items() if v},
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_SERVER_API_HOST": settings.host,
        "PREFECT_SERVER_API_PORT": str(settings.port),
    }


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Environment of the worker and its runs: without what only the server needs to know."""
    secrets = {p for name in SECRET_SETTINGS if (p := password_in(environment.get(name, "")))}
    kept = {k: v for k, v in environment.items() if k not in SECRET_SETTINGS and v not in secrets}
    bin_folder = str(Path(sys.executable).parent)
    return {
        **kept,
        "PATH": f"{bin_folder}{os.pathsep}{kept.get('PATH', os.defpath)}",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_WORKER_QUERY_SECONDS": kept.get("PREFECT_WORKER_QUERY_SECONDS", "5"),
    }
