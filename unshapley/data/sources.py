"""Where rows come from: the tables in a folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path, PurePath

import pyarrow as pa

from unshapley.config import PrepareSettings
from unshapley.data.names import check_distinct, provider_name
from unshapley.data.pictures import is_picture, read_pictures
from unshapley.data.reading import SUFFIXES, RawTable, read_file
from unshapley.errors import InputError


def is_table(name: str) -> bool:
    """Whether a file of this name is read as a table."""
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def provider_tables(
    folder: Path, besides: Collection[Path] = (), is_like: Callable[[str], bool] = is_table
) -> dict[str, list[Path]]:
    """Files of each provider whose name `is_like`, by name in sorted order: one that is named after
    it, or all those in a folder that is; hidden ones are none, nor those `besides`. A folder may be
    named `key=name`.

    Raises `InputError` for a name that no provider can have, for two files or folders of one
    provider, and for names that look alike.
    """
    paths: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir() if folder.is_dir() else ()):
        if entry in besides or entry.name.startswith("."):
            continue
        if entry.is_dir():
            files = files_like(is_like, entry, nested=True)
        else:
            files = [entry] if is_like(entry.name) else []
        if not files:
            continue
        name = provider_name(provider_of(files[0].relative_to(folder)), where=entry)
        if name in paths:
            raise InputError(
                f"provider {name!r} has two files",
                where=entry,
                expected="one file per provider, or one folder of files",
                do="remove or rename one of the two",
            )
        paths[name] = files
    check_distinct(paths, where=folder)
    return dict(sorted(paths.items()))


def provider_of(place: PurePath) -> str:
    """Name of the provider of a file at this place in data/raw: the file's or its folder's."""
    return place.stem if len(place.parts) == 1 else place.parts[0].rpartition("=")[2]


def table_files(folder: Path, *, nested: bool = False) -> list[Path]:
    """Tables in a folder, sorted, with `nested` also those in folders below it; nothing hidden."""
    return files_like(is_table, folder, nested=nested)


def files_like(is_like: Callable[[str], bool], folder: Path, *, nested: bool = False) -> list[Path]:
    """Files in a folder whose name `is_like`, sorted; nothing hidden."""
    if not folder.is_dir():
        return []
    paths = folder.rglob("*") if nested else folder.iterdir()
    return [
        path
        for path in sorted(paths)
        if is_like(path.name)
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def read_raw(folder: Path, settings: PrepareSettings) -> dict[str, RawTable]:
    """The tables of providers, by file where a column names the providers, else by `provider` or
    `provider/file`; and the user's own `test` and `reference`, by these names.

    Raises `InputError` for no table, those of one provider only, or an empty one.
    """
    pictures = files_like(is_picture, folder, nested=True)
    if pictures:
        return _read_pictures(folder, pictures, settings)
    own = _own_sets(folder, settings)
    paths = named_files(folder, settings, own.values())
    if not paths:
        raise InputError(
            f"holds no table ({', '.join(SUFFIXES)})",
            where=folder,
            do="put one file per provider there, or set prepare.source to digits",
        )
    tables = {name: read_file(path, settings.read) for name, path in paths.items()}
    for name, table in tables.items():
        if not table.rows.num_rows:
            raise InputError("holds no rows", where=paths[name], do="add rows, or remove the file")
    for name, path in own.items():
        tables[name] = _with_columns(read_file(path, settings.read), settings.aside)
    return tables


def named_files(
    folder: Path,
    settings: PrepareSettings,
    besides: Collection[Path],
    is_like: Callable[[str], bool] = is_table,
) -> dict[str, Path]:
    """Files whose name `is_like` but those `besides`, by their place where a column names the
    providers, else by `provider` or `provider/file`.
    """
    files = files_like(is_like, folder, nested=True)
    files = [path for path in files if not {path, *path.parents} & {*besides}]
    if settings.provider or not files:
        return {path.relative_to(folder).as_posix(): path for path in files}
    return _by_name(provider_tables(folder, besides, is_like), folder)


def _by_name(tables: Mapping[str, Sequence[Path]], folder: Path) -> dict[str, Path]:
    """Files by `provider`, or by `provider/file` where it has several."""
    if len(tables) < 2:
        raise InputError(
            "holds the file of one provider only",
            where=folder,
            expected="at least two providers",
            do="add files, or name the column that says whose rows they are: prepare.provider",
        )
    return {
        name if len(files) == 1 else f"{name}/{path.relative_to(folder).as_posix()}": path
        for name, files in tables.items()
        for path in files
    }


def _read_pictures(
    folder: Path, paths: Sequence[Path], settings: PrepareSettings
) -> dict[str, RawTable]:
    """Tables of pictures: a folder a provider, and those of the user's own sets."""
    tables = table_files(folder, nested=True)
    if tables or settings.provider:
        raise InputError(
            "holds pictures and a table" if tables else "pictures have no column of providers",
            where=tables[0] if tables else "prepare.provider",
            expected="pictures only, as PROVIDER/CLASS/NAME.png",
            do="move the others away" if tables else "leave it out",
        )
    by_folder: dict[str, list[Path]] = {}
    for path in paths:
        parts = path.relative_to(folder).parts
        if len(parts) < 2:
            raise InputError(
                "lies in no folder of a provider",
                where=path,
                expected=f"{folder / 'PROVIDER' / 'CLASS' / path.name}",
            )
        by_folder.setdefault(parts[0], []).append(path)
    own = {settings.test: "test", settings.reference: "reference"}
    missing = sorted({name for name in own if name is not None} - by_folder.keys())
    if missing:
        raise InputError(
            f"{missing[0]!r} is no folder of pictures in {folder}",
            where=f"prepare.{own[missing[0]]}",
        )
    names = {name: own.get(name) or provider_name(name, where=folder / name) for name in by_folder}
    check_distinct(names.values(), where=folder)
    return {
        names[name]: read_pictures(files, settings.label, settings.pictures, folder / name)
        for name, files in sorted(by_folder.items())
    }


def _own_sets(folder: Path, settings: PrepareSettings) -> dict[str, Path]:
    """Files of the user's own test and reference set, which lie beside the providers'."""
    named = {"test": settings.test, "reference": settings.reference}
    paths = {name: folder / text for name, text in named.items() if text is not None}
    for name, path in paths.items():
        if path.parent.resolve() != folder.resolve() or not is_table(path.name):
            raise InputError(
                f"{named[name]!r} is no table in {folder}",
                where=f"prepare.{name}",
                expected=f"the name of a file there, such as {name}.csv: what DVC's stage reads",
            )
        if not path.is_file():
            raise InputError("file is missing", where=path, do=f"put it there: prepare.{name}")
    return paths


def _with_columns(table: RawTable, names: Sequence[str]) -> RawTable:
    """With empty columns for those that only providers' tables need."""
    rows = table.rows
    for name in names:
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.string()))
    return RawTable(table.where, rows)
