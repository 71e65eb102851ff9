"""Documents by provider: files of text, and tables with a column of text."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa

from unshapley.config import PrepareSettings
from unshapley.data.providers import by_provider
from unshapley.data.reading import SUFFIXES as TABLES
from unshapley.data.reading import RawTable, read_file, with_missing
from unshapley.data.sources import files_like, is_table, named_files
from unshapley.data.splits import SETS
from unshapley.data.transforming import transformed
from unshapley.data.windows import BODY, DOCUMENT
from unshapley.errors import InputError, raise_if_no_memory

log = logging.getLogger("unshapley.prepare")

PROSE = (
    ".txt", ".text", ".md", ".markdown", ".rst", ".adoc", ".org", ".tex", ".html", ".htm", ".xml",
)  # fmt: skip
CODE = (
    ".py", ".pyi", ".c", ".h", ".cc", ".cpp", ".hpp", ".cs", ".css", ".go", ".java", ".jl", ".js",
    ".kt", ".lua", ".php", ".pl", ".r", ".rb", ".rs", ".scala", ".sh", ".sql", ".swift", ".ts",
)  # fmt: skip
SUFFIXES = (*PROSE, *CODE)
"""Endings of files that are one document each, in any case."""
NAMED = 5
"""Files that a warning names."""

Frames = dict[str, pd.DataFrame]


def is_document(name: str) -> bool:
    """Whether a file of this name is read as one document."""
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def is_of_text(name: str) -> bool:
    """Whether a file of this name is read where rows are text: a document, or a table of them."""
    return is_document(name) or is_table(name)


def read_documents(folder: Path, settings: PrepareSettings) -> tuple[Frames, Frames]:
    """Documents of each provider, by name in sorted order, and the user's own `test` and
    `reference` ones. Columns: `document` (name), `text`, and those of the file that are set aside.

    A document is called by the place of its file in `folder`; one of a table by its row too.
    Raises `InputError` for no documents or those of one provider only, and for the first document
    that is empty, binary or not in the stated encoding.
    """
    own = _own_sets(folder, settings)
    paths = named_files(folder, settings, own.values(), is_of_text)
    if not paths:
        raise InputError(
            "holds no documents",
            where=folder,
            expected=f"a folder of text files a provider ({', '.join(PROSE)} or source code), or "
            f"tables with a column {settings.documents.column!r} ({', '.join(TABLES)})",
            do="put them there",
        )
    others = files_like(lambda name: not is_of_text(name), folder, nested=True)
    if others:
        names = ", ".join(path.relative_to(folder).as_posix() for path in others[:NAMED])
        more = f" and {len(others) - NAMED} more" * (len(others) > NAMED)
        log.warning("files that are no documents by their ending are not read: %s%s", names, more)
    sets = {
        name: pd.concat([_read(file, folder, settings, ()) for file in _files(path)])
        for name, path in own.items()
    }
    parts = {name: _read(path, folder, settings, settings.aside) for name, path in paths.items()}
    providers = by_provider(parts, settings, folder)
    for name, frame in {**providers, **sets}.items():
        if frame.empty:
            raise InputError(
                "every document is empty", where=name, do="correct the files, or remove them"
            )
    return _sorted(providers), _sorted(sets)


def _sorted(frames: Mapping[str, pd.DataFrame]) -> Frames:
    return {n: frame.sort_values(DOCUMENT, ignore_index=True) for n, frame in frames.items()}


def _files(path: Path) -> list[Path]:
    return files_like(is_of_text, path, nested=True) if path.is_dir() else [path]


def _own_sets(folder: Path, settings: PrepareSettings) -> dict[str, Path]:
    """Files or folders of the user's own test and reference set, beside the providers'."""
    named = {name: getattr(settings, name) for name in SETS}
    paths = {name: folder / text for name, text in named.items() if text is not None}
    for name, path in paths.items():
        inside = path.parent.resolve() == folder.resolve()
        if not inside or not (path.is_dir() or is_of_text(path.name)):
            raise InputError(
                f"{named[name]!r} is no file of text, table or folder in {folder}",
                where=f"prepare.{name}",
                expected=f"the name of one there, such as {name}.txt, {name}.jsonl or {name}",
            )
        if not path.exists() or not _files(path):
            raise InputError("holds no documents", where=path, do=f"put them there: prepare.{name}")
    return paths


def _read(
    path: Path, folder: Path, settings: PrepareSettings, aside: tuple[str, ...]
) -> pd.DataFrame:
    """The documents of one file."""
    table = transformed(read_raw_text(path, settings), settings)
    _check_columns(table, settings, aside)
    column = strings(table, settings.documents.column)
    rows, place = len(column), path.relative_to(folder).as_posix()
    single = rows == 1 and is_document(path.name)
    width = len(str(rows - 1))
    names = [place] if single else [f"{place}:{row:0{width}}" for row in range(rows)]
    frame = pd.DataFrame({DOCUMENT: names, BODY: pd.Series(column.to_pylist(), dtype="str")})
    for name in aside:
        frame[name] = with_missing(table.column(name), settings.read).to_pandas()
    return _whole(frame, path, single, settings)


def read_raw_text(path: Path, settings: PrepareSettings) -> RawTable:
    """The table of a file; a file of text is a table of one row."""
    if is_document(path.name):
        text = read_text(path, settings.read.encoding)
        return RawTable(str(path), pa.table({settings.documents.column: [text]}))
    table = read_file(path, settings.read)
    if not table.rows.num_rows:
        raise InputError("holds no rows", where=path, do="add rows, or remove the file")
    return table


def read_text(path: Path, encoding: str) -> str:
    """The characters of a file, with line feeds as line ends and without a byte order mark.

    Raises `InputError` where they are not in this encoding.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except UnicodeError as error:
        binary = b"\0" in content
        at = getattr(error, "start", 0)
        raise InputError(
            "is binary: it holds NUL bytes" if binary else f"not in {encoding}, from byte {at} on",
            where=path,
            expected=f"text in {encoding}",
            do="remove it" + ", or state the encoding of all: prepare.read.encoding" * (not binary),
        ) from None
    except (OSError, MemoryError) as error:
        raise_if_no_memory(error)
        raise InputError(f"cannot be read: {error}", where=path) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _check_columns(table: RawTable, settings: PrepareSettings, aside: tuple[str, ...]) -> None:
    for name in (settings.documents.column, *aside):
        if name in table.rows.column_names:
            continue
        key = next((k for k in ("provider", "group", "time") if getattr(settings, k) == name), "")
        is_file = is_document(table.where)
        raise InputError(
            f"has no column {name!r}" + ", being a file of text" * is_file,
            where=table.where,
            expected=f"one of {', '.join(table.rows.column_names[:12])}"
            if not is_file
            else "tables only, where a column says more of each document",
            do=f"correct the name: prepare.{key or 'documents.column'}",
        )


def strings(table: RawTable, name: str) -> pa.ChunkedArray:
    """The cells of a column of text; `InputError` where they are no texts."""
    column = table.column(name)
    if pa.types.is_null(column.type):
        return column.cast(pa.string())
    if not pa.types.is_string(column.type):
        raise InputError(
            f"column {name!r} holds cells of type {column.type}",
            where=table.where,
            expected="texts",
            do="name the column of the text: prepare.documents.column",
        )
    return column


def _whole(
    frame: pd.DataFrame, path: Path, single: bool, settings: PrepareSettings
) -> pd.DataFrame:
    """Without empty documents, where these are left out; `InputError` for one, or a binary one."""
    empty = (frame[BODY].isna() | (frame[BODY].str.strip() == "")).to_numpy(dtype=bool)
    binary = frame[BODY].str.contains("\0", regex=False, na=False).to_numpy(dtype=bool)
    if settings.incomplete == "drop" and empty.any():
        log.warning("%s: %d of %d documents are empty and left out", path, empty.sum(), len(frame))
        frame, binary, empty = frame[~empty], binary[~empty], empty[~empty]
    for mask, problem, do in (
        (empty, "empty", "remove it, or set prepare.incomplete: drop to leave out empty ones"),
        (binary, "binary: it holds NUL characters", "remove it"),
    ):
        if mask.any():
            row = int(mask.argmax())
            where = path if single else f"{path}, column {settings.documents.column!r}, row {row}"
            raise InputError(f"is {problem}", where=where, expected="text", do=do)
    return frame.reset_index(drop=True)
