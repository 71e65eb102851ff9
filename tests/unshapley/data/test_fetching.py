"""Rows of real databases: PostgreSQL where one answers, SQLite everywhere."""

import os
import uuid

import pandas as pd
import pytest
import sqlalchemy as sa

from tests.cli import unshapley
from unshapley.config import FetchSettings
from unshapley.data.fetching import fetch
from unshapley.errors import InputError

POSTGRES = os.environ.get("UNSHAPLEY_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1/postgres")  # fmt: skip
ROWS = pd.DataFrame(
    {
        "site": ["a", "b", "a", "b"] * 15,
        "dose": [None if i % 4 == 1 else i / 2 for i in range(60)],
        "smokes": [True, False, False, True] * 15,
        "seen": pd.to_datetime(["2024-01-31"] * 60),
        "ill": ["no", "yes", "yes", "no"] * 15,
    }
)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path):
    """URL of a database, and the name of a table in it."""
    url = f"sqlite:///{tmp_path}/rows.db" if request.param == "sqlite" else POSTGRES
    engine, table = sa.create_engine(url), f"t{uuid.uuid4().hex}"
    try:
        engine.connect().close()
    except sa.exc.OperationalError:
        pytest.skip(f"no PostgreSQL answers at {url}: UNSHAPLEY_TEST_POSTGRES names another")
    ROWS.to_sql(table, engine, index=False)
    yield url, table
    with engine.begin() as connection:
        connection.execute(sa.text(f"drop table {table}"))


def test_rows_of_a_query_become_a_table_with_the_same_bytes_in_any_order(database, tmp_path):
    url, table = database
    files = []
    for order in ("asc", "desc"):
        query = f"select * from {table} order by dose {order}"
        settings = FetchSettings(url=url, query=query, file=f"{order}.parquet")
        path, rows = fetch(settings, tmp_path / "raw")
        assert rows == 60
        files.append(path.read_bytes())
    assert files[0] == files[1]


def test_a_project_begins_with_a_query(database, tmp_path):
    url, table = database
    done = unshapley(
        "init", tmp_path / "p", "--sql", url, "--query", f"select * from {table} where dose > 0",
        "--provider", "site", "--label", "ill", "--yes",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "rows by provider: a 29, b 15" in done.stdout
    path = tmp_path / "p" / "data" / "raw" / "query.parquet"
    first = path.read_bytes()
    path.unlink()
    assert unshapley("fetch", "-p", tmp_path / "p").stdout == f"{path}: 44 rows\n"
    assert path.read_bytes() == first
    assert unshapley("prepare", "-p", tmp_path / "p").returncode == 0


@pytest.mark.parametrize(
    ("url", "query", "message"),
    [
        (None, "select 1", "no database is named"),
        ("sqlite://", "select 1 as a where 1 = 0", "the query gives no rows"),
        (
            "sqlite://",
            "select * from nowhere",
            r"no such table: nowhere[\s\S]*do: correct the address",
        ),
        ("postgresql+psycopg://u:secret@h/d", "select 1", "a password stands in the URL"),
        ("postgresql+psycopg://u:$NOT_SET@h/d", "select 1", "the environment has no NOT_SET"),
        ("not a url", "select 1", "is no SQLAlchemy URL"),
        ("nothing://h/d", "select 1", r"nothing[\s\S]*do: for PostgreSQL: pip install"),
    ],
)
def test_what_cannot_be_fetched_is_one_error(tmp_path, url, query, message):
    with pytest.raises(InputError, match=message):
        fetch(FetchSettings(url=url, query=query), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_password_is_never_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PASSWORD", "s3cr:t/@")
    settings = FetchSettings(url="postgresql+psycopg://u:$PASSWORD@127.0.0.1:1/d", query="select 1")
    with pytest.raises(InputError) as raised:
        fetch(settings, tmp_path)
    assert "s3cr" not in str(raised.value)
    assert "u:***@127.0.0.1" in str(raised.value)
