"""How text files seem to be written: their separator, marks in numbers, and header."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unshapley.config import PrepareSettings, ReadSettings, parse_params
from unshapley.data.columns import NUMBER
from unshapley.data.delimited import grouped_number, separator_line, usual_separator
from unshapley.data.reading import SEPARATORS, TEXT
from unshapley.errors import InputError

COMMA = r"^\s*[+-]?(\d+|\d{1,3}([. ']\d{3})+),\d+\s*$"
"""A number with a decimal comma."""


def dialect_of(paths: Sequence[Path], stated: Mapping[str, Any]) -> ReadSettings:
    """Separator, marks in numbers and header of the text files, from the beginning of the first,
    where they are not stated.
    """
    own = prepare_settings({"read": stated}).read
    texts = [path for path in paths if path.suffix.lower() in TEXT]
    if not texts:
        return own
    encoding = "utf-8-sig" if own.encoding == "utf-8" else own.encoding
    with texts[0].open(encoding=encoding, errors="replace") as file:
        lines = [line.rstrip("\r\n") for _, line in zip(range(50), file, strict=False)]
    if not lines:
        raise InputError("is empty", where=texts[0], expected="a table")
    named = separator_line(texts[0], own.encoding)
    lines = lines[1:] if named and len(lines) > 1 else lines
    separator = own.separator or named or max(SEPARATORS, key=lines[0].count)
    cells = list(csv.reader(lines, delimiter=separator))
    header = not any(re.match(NUMBER, cell.strip()) for cell in cells[0])
    below = [cell for row in cells[1:] for cell in row]
    comma = separator != "," and any(re.match(COMMA, cell) for cell in below)
    decimal = stated.get("decimal") or ("," if comma else ".")
    default = usual_separator(texts[0])
    found = {
        "separator": None if separator == default else separator,
        "decimal": decimal,
        "thousands": _thousands(below, decimal),
        "header": header,
    }
    return prepare_settings({"read": {**found, **stated}}).read


def _thousands(cells: Sequence[str], decimal: str) -> str | None:
    """What groups digits, where numbers have it beside decimals: 1,234 alone may be a fraction."""
    for mark in ",.' ":
        if mark != decimal and any(
            decimal in cell and re.match(grouped_number(mark, decimal), cell) for cell in cells
        ):
            return mark
    return None


def prepare_settings(keys: Mapping[str, Any]) -> PrepareSettings:
    """Section prepare with these keys; `InputError` where it would be refused."""
    return parse_params({"prepare": keys}, where="--set").prepare
