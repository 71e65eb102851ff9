"""The processes of the server: one, or for a team replicas of the API and one for the rest."""

from __future__ import annotations

import subprocess
import sys

from flows.runtime.server import answers
from flows.serving.database import check_database
from flows.serving.settings import PREFECT, Settings, check_port, server_environment
from flows.serving.supervisor import Part
from flows.serving.team import check_redis, team_environment
from unshapley.errors import InputError, UnshapleyError


def check_server_parts(settings: Settings) -> None:
    """Raise `InputError` for what would keep the server from starting."""
    check_port(settings)
    if settings.team and settings.database is None:
        raise InputError(
            "a team's server needs PostgreSQL: SQLite does not carry several processes",
            where="--database",
            expected="postgresql://user@host/name",
        )
    check_database(settings.database)
    if settings.redis:
        check_redis(settings.redis)


def server_parts(settings: Settings) -> list[Part]:
    """What is to be started, in this order; the database of a team is brought up to date here."""
    start = [*PREFECT, "server", "start", "--host", settings.host, "--port", str(settings.port)]
    if not settings.team:
        return [Part("server", start, server_environment(settings), lambda: answers(settings.api))]
    environment = team_environment(settings)
    _migrate(environment)
    if settings.replicas > 1:
        start += ["--workers", str(settings.replicas)]
    else:
        start += ["--no-services"]
    return [
        Part("server", start, environment, lambda: answers(settings.api)),
        Part("services", [*PREFECT, "server", "services", "start"], environment),
    ]


def _migrate(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "flows.serving.migration"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise UnshapleyError(
            f"the tables of the database could not be made: {' '.join(reason)}\n"
            "  do: give the user the right to make tables, or name an empty database"
        )
