"""Documents by provider: files of text, and tables with a column of text."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import pandas as pd
import pyarrow as pa

from unshapley.config import PrepareSettings
from unshapley.data.choices import holds_questions, read_questions
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
        name: pd.concat([_read_own(file, folder, settings, name) for file in _files(path)])
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
    return {
        name: frame.astype({DOCUMENT: "str", BODY: "str"}).sort_values(DOCUMENT, ignore_index=True)
        for name, frame in frames.items()
    }


def _files(path: Path) -> list[Path]:
    return files_like(is_of_text, path, nested=True) if path.is_dir() else [path]


def _own_sets(folder: Path, settings: PrepareSettings) -> dict[str, Path]:
    """Files or folders of the user's own test and reference set, beside the providers'."""
    named = {name: getattr(settings, name) for name in SETS}
    paths = {name: folder / text for name, text in named.items() if text is not None}
    for name, path in paths.items():
        is_name = PurePath(named[name]).name == named[name] != ".."
        if not is_name or not (path.is_dir() or is_of_text(path.name)):
            raise InputError(
                f"{named[name]!r} is no file of text, table or folder in {folder}",
                where=f"prepare.{name}",
                expected=f"the name of one there, such as {name}.txt, {name}.jsonl or {name}",
            )
        if not path.exists() or not _files(path):
            raise InputError("holds no documents", where=path, do=f"put them there: prepare.{name}")
    return paths


def _read_own(path: Path, folder: Path, settings: PrepareSettings, name: str) -> pd.DataFrame:
    """A file of the user's own test or reference set; a test set may be of questions."""
    if name == "test" and is_table(path.name):
        table = transformed(read_raw_text(path, settings), settings)
        if holds_questions(table):
            return read_questions(table, _place(path, folder))
    return _read(path, folder, settings, ())


def _read(
    path: Path, folder: Path, settings: PrepareSettings, aside: tuple[str, ...]
) -> pd.DataFrame:
    """The documents of one file."""
    table = transformed(read_raw_text(path, settings), settings)
    _check_columns(table, settings, aside)
    texts = strings(table, settings.documents.column)
    place = _place(path, folder)
    width = len(str(len(texts) - 1))
    names = [f"{place}:{row:0{width}}" for row in range(len(texts))]
    if is_document(path.name) and len(texts) == 1:
        names = [place]
    kept = _usable(texts, names, path, settings)
    columns: dict[str, Any] = {DOCUMENT: names, BODY: texts}
    for name in aside:
        columns[name] = with_missing(table.column(name), settings.read).to_pandas()
    frame = pd.DataFrame(columns)
    return frame if len(kept) == len(texts) else frame.iloc[kept].reset_index(drop=True)


def _place(path: Path, folder: Path) -> str:
    """Name of the documents of a file; `InputError` where its characters are none."""
    place = path.relative_to(folder).as_posix()
    try:
        place.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{place!r} is no name in UTF-8", where=folder, do="rename the file or folder"
        ) from None
    return place


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


def strings(table: RawTable, name: str) -> list[str | None]:
    """The cells of a column of text; `InputError` where they are no texts."""
    column = table.column(name)
    if not (pa.types.is_string(column.type) or pa.types.is_null(column.type)):
        raise InputError(
            f"column {name!r} holds cells of type {column.type}",
            where=table.where,
            expected="texts",
            do="name the column of the text: prepare.documents.column",
        )
    try:
        texts: list[str | None] = column.to_pylist()
    except UnicodeDecodeError as error:
        raise InputError(
            f"column {name!r} is binary: {error}", where=table.where, expected="text in UTF-8"
        ) from None
    return texts


def _usable(
    texts: Sequence[str | None], names: Sequence[str], path: Path, settings: PrepareSettings
) -> list[int]:
    """Rows of documents without empty ones, where these are left out; `InputError` for an empty
    or a binary one.
    """
    empty = [row for row, text in enumerate(texts) if not (text and text.strip())]
    if settings.incomplete == "drop" and empty:
        log.warning("%s: %d of %d documents are empty and left out", path, len(empty), len(texts))
        left_out = set(empty)
    else:
        left_out = set()
    binary = [row for row, text in enumerate(texts) if text and "\0" in text]
    for rows, problem, do in (
        (empty, "empty", "remove it, or set prepare.incomplete: drop to leave out empty ones"),
        (binary, "binary: it holds NUL characters", "remove it"),
    ):
        bad = next((row for row in rows if row not in left_out), None)
        if bad is not None:
            single = len(names) == 1 and is_document(path.name)
            column = settings.documents.column
            where = path if single else f"{path}, column {column!r}, row {bad}"
            raise InputError(f"is {problem}", where=where, expected="text", do=do)
    return [row for row in range(len(texts)) if row not in left_out]
