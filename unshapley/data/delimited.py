"""Text files with separators: cells stay text, and only what groups digits is taken out."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from unshapley.config import ReadSettings
from unshapley.errors import InputError

UNNAMED = "Unnamed: {}"
"""Name of a column without one, by its position from 0, as pandas writes and reads it."""
LONGEST_LINE = 20
"""Characters of a line that states the separator, at most."""
SPACES = " \u00a0\u202f"
"""All that looks like a space between the digits of a number."""


def read_text(path: Path, settings: ReadSettings) -> pa.Table:
    """All columns as text; raises what Arrow does where a file is none, and `InputError` where
    `settings.names` does not fit it.
    """
    stated = separator_line(path, settings.encoding)
    separator = settings.separator or stated or usual_separator(path)
    parse = pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    names = settings.names or _first_line(path, settings, separator)
    if settings.names and settings.header:
        given = len(_first_line(path, settings, separator))
        if given != len(names):
            raise InputError(
                f"has {given} columns, prepare.read.names names {len(names)}",
                where=path,
                expected="a name for each column",
            )
    if not settings.header and not settings.names:
        names = [f"column {i}" for i in range(len(names))]
    unique = [f"{i}" for i in range(len(names))]  # names may stand twice as yet
    read = pa.csv.ReadOptions(
        column_names=unique,
        skip_rows=int(settings.header) + bool(stated),
        encoding=settings.encoding,
    )
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(unique, pa.string()),
        null_values=[],
        strings_can_be_null=False,
    )
    try:
        rows = pa.csv.read_csv(path, read, parse, convert)
    except pa.ArrowInvalid:  # on one thread it knows the row
        read.use_threads = False
        read.block_size = whole_block(path)  # a cell may be longer than a block
        rows = pa.csv.read_csv(path, read, parse, convert)
    if settings.thousands:
        columns = [_ungrouped(rows.column(i), settings) for i in range(rows.num_columns)]
        rows = pa.table(columns, names=unique)
    return rows.rename_columns([n or UNNAMED.format(i) for i, n in enumerate(names)])


def grouped_number(thousands: str, decimal: str) -> str:
    """Pattern of a number whose digits are in groups of three."""
    mark = f"[{SPACES}]" if thousands == " " else f"[{thousands}]"
    return rf"^\s*[+-]?\d{{1,3}}({mark}\d{{3}})+([{decimal}]\d+)?\s*$"


def _ungrouped(texts: pa.ChunkedArray, settings: ReadSettings) -> pa.ChunkedArray:
    """Numbers without what groups their digits; other cells as they are."""
    assert settings.thousands is not None
    grouped = pc.match_substring_regex(texts, grouped_number(settings.thousands, settings.decimal))
    plain = texts
    for mark in SPACES if settings.thousands == " " else settings.thousands:
        plain = pc.replace_substring(plain, mark, "")
    return pc.if_else(grouped, plain, texts)


def separator_line(path: Path, encoding: str) -> str | None:
    """The separator that a first line `sep=;` states, as Excel reads and writes it; else none."""
    with path.open(encoding=_unmarked(encoding), errors="replace") as file:
        line = file.readline(LONGEST_LINE)
    found = re.fullmatch(r'"?sep=(.)"?\s*', line, re.IGNORECASE)
    return found[1] if found else None


def _unmarked(encoding: str) -> str:
    """An encoding that takes a byte order mark for none of the text."""
    return "utf-8-sig" if encoding.lower() in ("utf8", "utf-8") else encoding


def usual_separator(path: Path) -> str:
    """What separates columns where nothing is stated: a tabulator in .tsv files, else a comma."""
    return "\t" if path.suffix.lower() == ".tsv" else ","


def _first_line(path: Path, settings: ReadSettings, separator: str) -> list[str]:
    import csv

    with path.open(encoding=_unmarked(settings.encoding), newline="") as file:
        if separator_line(path, settings.encoding):
            file.readline()
        names = next(csv.reader(file, delimiter=separator), [])
    if not names:
        raise InputError("is empty", where=path, expected="a table", do="add rows, or remove it")
    return [name.strip() for name in names]


def whole_block(path: Path) -> int:
    """Size of a block that holds a whole file, in any encoding, as far as blocks may be large."""
    return min(4 * path.stat().st_size + 1, 2**31 - 1)
