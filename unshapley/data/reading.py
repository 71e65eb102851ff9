"""Read source files as they are: cells of text files stay text until all files have been seen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.feather
import pyarrow.json
import pyarrow.parquet

from unshapley.config import ReadSettings
from unshapley.data.delimited import read_text, whole_block
from unshapley.errors import InputError, raise_if_no_memory

TEXT = (".csv", ".tsv", ".data")
SUFFIXES = (*TEXT, ".parquet", ".feather", ".arrow", ".jsonl")
"""Endings of tables, in any case."""
CELL = 4
"""Bytes of a cell, at least, once it is read."""
SEPARATORS = ",;\t|"
STREAM = b"\xff\xff\xff\xff"
"""First bytes of a stream of Arrow record batches."""


@dataclass(frozen=True)
class RawTable:
    """Rows as they were read; where: the file or the provider, for messages.

    Cells of text files are strings, empty where a value is missing; others have the file's types.
    """

    where: str
    rows: pa.Table

    def column(self, name: str) -> pa.ChunkedArray:
        return self.rows.column(name)


def read_file(path: Path, settings: ReadSettings | None = None) -> RawTable:
    """Read a table with all its columns.

    Raises `InputError` where it cannot be read, a column has no name or a name stands twice, or
    all of a text file is one column.
    """
    settings = settings or ReadSettings()
    suffix = path.suffix.lower()
    try:
        rows = read_text(path, settings) if suffix in TEXT else _read_typed(path, suffix)
    except FileNotFoundError:
        raise InputError("file is missing", where=path) from None
    except UnicodeError as error:
        raise InputError(
            f"not readable as {suffix[1:]}: {str(error).splitlines()[0]}",
            where=path,
            expected=f"characters in {settings.encoding}",
            do="state their encoding: prepare.read.encoding, for `init` and `inspect` as "
            "--set prepare.read.encoding=cp1252 (usual on Windows), or utf-16",
        ) from None
    except (OSError, ValueError, LookupError, pa.ArrowException) as error:
        raise_if_no_memory(error)
        raise InputError(
            f"not readable as {suffix[1:]}: {str(error).splitlines()[0]}",
            where=path,
            do="correct the file, or prepare.read",
        ) from None
    _check_names(rows.column_names, path)
    if suffix in TEXT:
        _check_separated(rows.column_names, path)
    return RawTable(str(path), rows)


def of_frame(frame: pd.DataFrame, where: str) -> RawTable:
    """A table in memory; `InputError` for a name that stands twice, or a column of mixed types."""
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    _check_names(list(frame.columns), where)
    columns = {}
    for name in frame.columns:
        try:
            columns[name] = _plain(pa.chunked_array([pa.Array.from_pandas(frame[name])]))
        except pa.ArrowException:  # words and numbers: read as a text file would be
            texts = [None if pd.isna(cell) else str(cell) for cell in frame[name]]
            columns[name] = pa.chunked_array([pa.array(texts, pa.string())])
    return RawTable(where, pa.table(columns))


def _read_typed(path: Path, suffix: str) -> pa.Table:
    if suffix == ".parquet":
        file = pa.parquet.ParquetFile(path)
        _check_unfolded(file.metadata, path)
        rows = file.read()
    elif suffix == ".jsonl":
        rows = _read_json(path)
    else:
        rows = _read_arrow(path)
    while any(pa.types.is_struct(kind) for kind in rows.schema.types):
        rows = rows.flatten()  # {"device": {"id": 3}} is a column device.id
    columns = [_plain(rows.column(i)) for i in range(rows.num_columns)]
    return pa.table(columns, names=rows.column_names)


def _read_json(path: Path) -> pa.Table:
    try:
        return pa.json.read_json(path)
    except pa.ArrowInvalid:  # a line may be longer than a block
        _check_lines(path)
        return pa.json.read_json(path, pa.json.ReadOptions(block_size=whole_block(path)))


def _check_lines(path: Path) -> None:
    """Raise `InputError` for the first line that is no object of JSON: Arrow counts rows from 0,
    and in each of its blocks anew.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                problem = "" if not line.strip() or isinstance(json.loads(line), dict) else "no {…}"
            except ValueError as error:
                problem = str(error).partition(": line 1")[0]
            if problem:
                raise InputError(
                    f"line {number} is not JSON: {problem}",
                    where=path,
                    expected='an object a line, such as {"text": "…"}',
                    do="correct the line, or remove it",
                )


def _read_arrow(path: Path) -> pa.Table:
    """A Feather file, or the stream of record batches that Hugging Face's datasets store."""
    with path.open("rb") as file:
        is_stream = file.read(len(STREAM)) == STREAM
    if not is_stream:
        return pa.feather.read_table(path)
    with pa.OSFile(str(path)) as source:
        return pa.ipc.open_stream(source).read_all()


def _check_unfolded(metadata: pa.parquet.FileMetaData, path: Path) -> None:
    """Raise `InputError` for a file that would not fit into memory: a few kilobytes can unfold to
    any size.
    """
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    cells = metadata.num_rows * metadata.num_columns * CELL
    needed = max(cells, sum(group.total_byte_size for group in groups))
    free = psutil.virtual_memory().available
    if needed > free:
        raise InputError(
            f"unfolds to {needed / 2**30:.1f} GiB",
            where=path,
            expected=f"less than the {free / 2**30:.1f} GiB of memory that are free",
            do="split it, leave out columns, or use a larger machine",
        )


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Categories as their values, decimals as floats, long strings as strings."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain(column.cast(kind.value_type))
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    return column


def _check_names(names: Sequence[str], where: object) -> None:
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    if twice is not None:
        positions = [str(i + 1) for i, name in enumerate(names) if name == twice]
        raise InputError(
            f"column {twice!r} stands at positions {' and '.join(positions)}",
            where=where,
            expected="a name of its own for every column",
            do="remove or rename the others; a label that is a feature too would be the answer",
        )


def _check_separated(names: Sequence[str], path: Path) -> None:
    if len(names) > 1:
        return
    other = next((s for s in SEPARATORS if s in names[0]), None)
    if other is not None:
        raise InputError(
            f"is one column only, named {names[0][:60]!r}",
            where=path,
            expected="columns that prepare.read.separator separates",
            do=f"set prepare.read.separator to {other!r}"
            + (" and, if decimals are written 1,5, prepare.read.decimal to ','" * (other == ";")),
        )


def with_missing(column: pa.ChunkedArray, settings: ReadSettings) -> pa.ChunkedArray:
    """Text cells without spaces around them; null where they are empty or stand for no value."""
    if not pa.types.is_string(column.type):
        return column
    texts = pc.utf8_trim_whitespace(column)
    missing = pa.array(["", *settings.missing])
    return pc.if_else(pc.is_in(texts, missing), pa.scalar(None, pa.string()), texts)
