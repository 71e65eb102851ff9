"""Rows of a database, written to data/raw as they are at the time: what follows can be repeated."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd
import sqlalchemy as sa

from unshapley.config import FetchSettings
from unshapley.data.reading import of_frame
from unshapley.errors import InputError
from unshapley.files import written_whole

VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def fetch(settings: FetchSettings, folder: Path) -> tuple[Path, int]:
    """Write the rows of the query to the folder, sorted, so that the same rows give the same bytes;
    returns the file and how many rows it holds.

    Raises `InputError` where the database is out of reach, the query fails or gives nothing, an
    environment variable is missing, or the URL holds a password.
    """
    if settings.url is None or not settings.query.strip():
        raise InputError(
            "no database is named",
            where="fetch",
            expected="fetch.url and fetch.query",
            do="set them in params.yaml, or begin with `unshapley init --sql URL --query SQL`",
        )
    frame = _rows(settings)
    if frame.empty:
        raise InputError("the query gives no rows", where="fetch.query", expected="rows")
    table = of_frame(frame, "fetch.query").rows.to_pandas()  # words and numbers become texts
    order = table.sort_values(list(table.columns), ignore_index=True)
    path = folder / settings.file
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part:
        order.to_parquet(part, index=False, compression="zstd")
    return path, len(order)


def _rows(settings: FetchSettings) -> pd.DataFrame:
    url = _url(settings.url or "")
    try:
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            return pd.read_sql(sa.text(settings.query), connection)
    except (sa.exc.SQLAlchemyError, pd.errors.DatabaseError, ImportError) as error:
        reason = error.__cause__ if isinstance(error, pd.errors.DatabaseError) else error
        cause = str(getattr(reason, "orig", None) or reason).strip().splitlines()[0]
        password = url.password
        raise InputError(
            cause.replace(str(password), "***") if password else cause,
            where=f"fetch ({url.render_as_string(hide_password=True)})",
            expected="a database within reach, its driver installed, and a query that it takes",
            do=_remedy(error),
        ) from None


def _remedy(error: Exception) -> str:
    if isinstance(error, ImportError | sa.exc.NoSuchModuleError):
        return (
            "for PostgreSQL: pip install 'unshapley[postgres]', postgresql+psycopg://user@host/name"
        )
    if isinstance(error, sa.exc.ProgrammingError):
        return "correct the query"
    return "correct the address or the query, or ask who runs the database"


def _url(text: str) -> sa.URL:
    """The URL with environment variables put in."""
    try:
        stated = sa.make_url(text)
        if stated.password and not VARIABLE.fullmatch(str(stated.password)):
            raise InputError(
                "a password stands in the URL",
                where="fetch.url",
                expected="secrets in the environment only",
                do="write postgresql+psycopg://user:$PASSWORD@host/name, and export PASSWORD",
            )
        return sa.make_url(VARIABLE.sub(_from_environment, text))
    except sa.exc.ArgumentError:
        raise InputError(
            "is no SQLAlchemy URL",
            where="fetch.url",
            expected="postgresql+psycopg://user@host/name",
        ) from None


def _from_environment(match: re.Match[str]) -> str:
    name = match[1] or match[2]
    if name not in os.environ:
        raise InputError(f"the environment has no {name}", where="fetch.url", do=f"export {name}=…")
    from urllib.parse import quote

    return quote(os.environ[name], safe="")
