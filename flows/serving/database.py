"""The database of the server: its address, with passwords from the environment, and an answer."""

from __future__ import annotations

import asyncio
import os
from urllib.parse import unquote, urlsplit

import sqlalchemy as sa

from unshapley.data.fetching import VARIABLE
from unshapley.errors import InputError

URL = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
SECRET_SETTINGS = (
    URL, "PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_PASSWORD",
    "PREFECT_API_DATABASE_PASSWORD", "PREFECT_SERVER_API_AUTH_STRING",
    "PREFECT_REDIS_MESSAGING_URL", "PREFECT_REDIS_MESSAGING_PASSWORD", "PREFECT_SERVER_DOCKET_URL",
)  # fmt: skip
"""Environment variables of the server alone."""
SECONDS = 10.0


def database_url(given: str | None) -> str | None:
    """The URL of --database with environment variables put in, else that of the environment; None
    for SQLite in the server's home.

    Raises `InputError` for a password on the command line, where everybody on the machine sees it,
    and for another database than PostgreSQL.
    """
    if given is None:
        return os.environ.get(URL) or os.environ.get("PREFECT_API_DATABASE_CONNECTION_URL")
    try:
        stated = sa.make_url(given)
    except sa.exc.ArgumentError:
        raise InputError(
            "is no address of a database",
            where="--database",
            expected="postgresql://user@host/name",
        ) from None
    password = str(stated.password) if stated.password else ""
    if password and not VARIABLE.fullmatch(password):
        raise InputError(
            "a password stands on the command line, for everybody on this machine to see",
            where="--database",
            do="put it into an environment variable and name that: 'postgresql://user:$NAME@host/db'",
        )
    if stated.get_backend_name() != "postgresql":
        raise InputError(
            f"{stated.get_backend_name()} does not carry a server",
            where="--database",
            expected="PostgreSQL; SQLite is used where none is named",
        )
    if password:
        name = "".join(part for part in VARIABLE.fullmatch(password).groups() if part)  # type: ignore[union-attr]
        if name not in os.environ:
            raise InputError(f"the environment holds no {name}", where="--database")
        stated = stated.set(password=os.environ[name])
    return stated.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)


def password_in(url: str) -> str:
    """The password that a URL holds; empty where it holds none, or is no URL."""
    try:
        return unquote(urlsplit(url).password or "")
    except ValueError:
        return ""


def check_database(url: str | None) -> None:
    """Raise `InputError` where PostgreSQL does not answer, or refuses; SQLite is not asked."""
    if url is None or not url.startswith("postgresql"):
        return
    stated = sa.make_url(url)
    shown = stated.render_as_string(hide_password=True)
    try:
        asyncio.run(_connect(stated))
    except TimeoutError:
        reason = f"has not answered for {SECONDS:.0f} s"
    except Exception as error:  # noqa: BLE001 (asyncpg raises what the server, TLS and OS say)
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if stated.password:
            reason = reason.replace(str(stated.password), "***")
    else:
        return
    raise InputError(
        f"the database cannot be used: {reason}",
        where=shown,
        expected="a PostgreSQL that answers, with this user and this database",
        do="start it, correct the address, or make the database (`createdb`)",
    )


async def _connect(url: sa.URL) -> None:
    import asyncpg

    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncio.wait_for(asyncpg.connect(plain, timeout=SECONDS), SECONDS + 1)
    await connection.close()
