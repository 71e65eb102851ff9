"""Where rows come from: the tables in a folder."""

from __future__ import annotations

from pathlib import Path

from unshapley.config import PrepareSettings
from unshapley.data.names import check_distinct, provider_name
from unshapley.data.reading import SUFFIXES, RawTable, read_file
from unshapley.errors import InputError


def raw_tables(folder: Path) -> dict[str, Path]:
    """File of each provider, by name in sorted order; hidden files are none.

    Raises `InputError` for a name that no provider can have, for two files of one provider, and
    for names that look alike.
    """
    paths: dict[str, Path] = {}
    for path in table_files(folder):
        name = provider_name(path.stem, where=path)
        if name in paths:
            raise InputError(
                f"provider {name!r} has two files",
                where=path,
                expected="one file per provider",
                do="remove or rename one of the two",
            )
        paths[name] = path
    check_distinct(paths, where=folder)
    return dict(sorted(paths.items()))


def table_files(folder: Path) -> list[Path]:
    """Tables in a folder, sorted; hidden files are none."""
    return [
        path
        for path in sorted(folder.iterdir() if folder.is_dir() else ())
        if is_table(path.name) and path.is_file()
    ]


def is_table(name: str) -> bool:
    """Whether a file of this name is read as a table."""
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def read_raw(folder: Path, settings: PrepareSettings) -> dict[str, RawTable]:
    """One table per provider, by name, or per file where a column names the providers.

    Raises `InputError` for no table, one only, or an empty one.
    """
    files = table_files(folder)
    if not files:
        raise InputError(
            f"holds no table ({', '.join(SUFFIXES)})",
            where=folder,
            do="put one file per provider there, or set prepare.source to digits",
        )
    paths = {path.name: path for path in files} if settings.provider else raw_tables(folder)
    if len(paths) < 2 and not settings.provider:
        raise InputError(
            "holds the file of one provider only",
            where=folder,
            expected="at least two providers",
            do="add files, or name the column that says whose rows they are: prepare.provider",
        )
    tables = {name: read_file(path, settings.read) for name, path in paths.items()}
    for name, table in tables.items():
        if not table.rows.num_rows:
            raise InputError("holds no rows", where=paths[name], do="add rows, or remove the file")
    return tables
