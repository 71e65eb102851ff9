"""How text files seem to be written: their separator, decimal comma and header."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unshapley.config import PrepareSettings, ReadSettings, parse_params
from unshapley.data.columns import NUMBER
from unshapley.data.reading import SEPARATORS, TEXT, usual_separator
from unshapley.errors import InputError


def dialect_of(paths: Sequence[Path], stated: Mapping[str, Any]) -> ReadSettings:
    """Separator, decimal comma and header of the text files, from the beginning of the first, where
    they are not stated.
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
    separator = own.separator or max(SEPARATORS, key=lines[0].count)
    cells = [line.split(separator) for line in lines]
    header = not any(re.match(NUMBER, cell.strip()) for cell in cells[0])
    decimals = [c for row in cells[1:] for c in row if re.match(r"^\s*[+-]?\d+,\d+\s*$", c)]
    default = usual_separator(texts[0])
    found = {
        "separator": None if separator == default else separator,
        "decimal": "," if decimals and separator != "," else ".",
        "header": header,
    }
    return prepare_settings({"read": {**found, **stated}}).read


def prepare_settings(keys: Mapping[str, Any]) -> PrepareSettings:
    """Section prepare with these keys; `InputError` where it would be refused."""
    return parse_params({"prepare": keys}, where="--set").prepare
