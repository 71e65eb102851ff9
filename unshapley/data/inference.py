"""What tables seem to hold, and the rules that would read them: shown to the user, who decides."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from unshapley.config import PrepareSettings, ReadSettings
from unshapley.data.column_rules import ColumnFacts, Rules, kind_of, look_at
from unshapley.data.columns import NUMBER, as_texts
from unshapley.data.encoding import RARE
from unshapley.data.pictures import is_picture
from unshapley.data.reading import (
    SEPARATORS,
    SUFFIXES,
    TEXT,
    RawTable,
    read_file,
    usual_separator,
    with_missing,
)
from unshapley.data.sources import files_like, is_table, provider_of, table_files
from unshapley.errors import InputError

FEW_CLASSES = 20
"""Numbers with more different values are quantities, not classes."""
LEAK = 0.999
"""A column that predicts the label alone as well as this may be made from it."""


@dataclass(frozen=True)
class Inspection:
    """What tables seem to hold, and the rules that would read them.

    rows: by provider; classes: rows by class, none where the label is a quantity; notes: what a
    user should know or decide.
    """

    settings: PrepareSettings
    columns: tuple[ColumnFacts, ...]
    rows: Mapping[str, int]
    classes: Mapping[str, int]
    notes: tuple[str, ...] = ()


def inspect_files(
    files: Mapping[str, Path],
    label: str | None = None,
    provider: str | None = None,
    names: Sequence[str] = (),
) -> Inspection:
    """Look at all tables together, or at folders PROVIDER/CLASS of pictures; `InputError` for files
    that cannot be read as tables.

    files: by their place in data/raw; label, provider: names of these columns; without a label none
    is looked for; names: of all columns, in place of a header.
    """
    paths = list(files.values())
    if all(is_picture(name) for name in files):
        return _of_pictures(files, label)
    read = _how_written(paths).model_copy(update={"names": list(names)})
    tables = {path: read_file(path, read) for path in paths}
    frame = _all_rows(tables, label, provider)
    rules = Rules()
    facts = []
    for name in frame.columns:
        if name in (label, provider):
            continue
        fact = look_at(name, frame[name], read, rules)
        facts.append(fact)
    task, classes = _task(frame, label, read, rules)
    if label is not None:
        facts = _with_leaks(facts, frame, label, rules)
    chosen: dict[str, Any] = {
        "source": "files",
        "read": read.model_copy(update={"missing": sorted(rules.missing)}),
        "provider": provider,
        "columns": rules.columns,
        "drop": rules.drop,
        "incomplete": "impute" if rules.gaps else "keep",
        "task": task,
    }
    if label is not None:
        chosen["label"] = label
    rows = _counted(frame[provider]) if provider else _rows_of(files, tables)
    return Inspection(PrepareSettings(**chosen), tuple(facts), rows, classes, tuple(rules.notes))


def _of_pictures(files: Mapping[str, Path], label: str | None) -> Inspection:
    places = [PurePosixPath(name) for name in files]
    outside = next((place for place in places if len(place.parts) < 3), None)
    if outside is not None:
        raise InputError(
            "lies in no folder PROVIDER/CLASS",
            where=files[str(outside)],
            expected="the pictures of each class in a folder of its name, in the provider's folder",
        )
    with_label = {} if label is None else {"label": label}
    return Inspection(
        PrepareSettings(source="files", **with_label),
        (),
        dict(sorted(Counter(place.parts[0] for place in places).items())),
        dict(sorted(Counter(place.parent.name for place in places).items())),
        ("pictures are resized to 28 × 28 gray pixels: prepare.pictures",),
    )


def _counted(texts: pd.Series) -> dict[str, int]:
    return {str(name): int(rows) for name, rows in texts.value_counts().sort_index().items()}


def tables_among(paths: Sequence[Path]) -> dict[str, Path]:
    """Files that are tables, by their place in data/raw; those of folders keep their folders.

    Raises `InputError` where there is none, for a file that is none, and for two of one name.
    """
    found: list[tuple[str, Path]] = []
    for path in paths:
        if path.is_dir():
            files = table_files(path, nested=True) or files_like(is_picture, path, nested=True)
            found += [(file.relative_to(path).as_posix(), file) for file in files]
        elif not path.is_file():
            raise InputError("there is no such file or folder", where=path)
        elif not is_table(path.name):
            raise InputError("is no table", where=path, expected=f"{', '.join(SUFFIXES)}")
        else:
            found.append((path.name, path))
    if not found:
        raise InputError("holds no table", where=", ".join(map(str, paths)))
    names = Counter(name for name, _ in found)
    twice = next((name for name, times in names.items() if times > 1), None)
    if twice is not None:
        raise InputError(f"there are two files named {twice!r}", do="rename one of them")
    return dict(found)


def _rows_of(files: Mapping[str, Path], tables: Mapping[Path, RawTable]) -> dict[str, int]:
    """Rows by provider: a file, or a folder of files."""
    rows = Counter[str]()
    for name, path in files.items():
        rows[provider_of(PurePosixPath(name))] += tables[path].rows.num_rows
    return dict(sorted(rows.items()))


def _how_written(paths: Sequence[Path]) -> ReadSettings:
    """Separator, decimal comma and header of the text files, from the beginning of the first."""
    texts = [path for path in paths if path.suffix.lower() in TEXT]
    if not texts:
        return ReadSettings()
    with texts[0].open(encoding="utf-8-sig", errors="replace") as file:
        lines = [line.rstrip("\r\n") for _, line in zip(range(50), file, strict=False)]
    if not lines:
        raise InputError("is empty", where=texts[0], expected="a table")
    separator = max(SEPARATORS, key=lines[0].count)
    cells = [line.split(separator) for line in lines]
    header = not any(re.match(NUMBER, cell.strip()) for cell in cells[0])
    decimals = [c for row in cells[1:] for c in row if re.match(r"^\s*[+-]?\d+,\d+\s*$", c)]
    default = usual_separator(texts[0])
    return ReadSettings(
        separator=None if separator == default else separator,
        decimal="," if decimals and separator != "," else ".",
        header=header,
    )


def _all_rows(
    tables: Mapping[Path, RawTable], label: str | None, provider: str | None
) -> pd.DataFrame:
    """All tables as texts, one below the other."""
    names = next(iter(tables.values())).rows.column_names
    for path, table in tables.items():
        different = set(table.rows.column_names) ^ set(names)
        if different:
            raise InputError(
                f"column {min(different)!r} is only in {next(iter(tables))} or only here",
                where=path,
                expected="the same columns in every table",
            )
    for key, name in (("label", label), ("provider", provider)):
        if name is not None and name not in names:
            raise InputError(
                f"there is no column {name!r}",
                where=f"--{key}",
                expected=f"one of {', '.join(map(str, names[:12]))}{' …' * (len(names) > 12)}",
            )
    parts = [
        pd.DataFrame({name: _texts(table.column(name)) for name in names})
        for table in tables.values()
    ]
    return pd.concat(parts, ignore_index=True)


def _texts(column: pa.ChunkedArray) -> pd.Series:
    if pa.types.is_temporal(column.type):
        column = pc.strftime(column, format="%Y-%m-%d")
    texts = as_texts(with_missing(column, ReadSettings()))
    return pd.Series(texts.to_pylist(), dtype=object)


def _task(
    frame: pd.DataFrame, label: str | None, read: ReadSettings, rules: Rules
) -> tuple[str, dict[str, int]]:
    """Classification or regression, and the rows of each class."""
    if label is None:
        return "classification", {}
    labels = frame[label].dropna()
    missing = len(frame) - len(labels)
    if missing:
        rules.gaps += missing
        rules.notes.append(f"{missing} rows have no label {label!r}: they are left out")
    values = labels.drop_duplicates()
    kinds = {kind_of(value, read.decimal) for value in values}
    if kinds <= {"number", "zeros"} and len(values) > FEW_CLASSES:
        rules.notes.append(f"the label {label!r} is a quantity of {len(values)} different values")
        return "regression", {}
    if "truth" in kinds and "number" in kinds:
        rules.notes.append(
            f"the label {label!r} is a truth value and a number: set prepare.label_classes"
        )
    counts = _counted(labels)
    rare = {name: rows for name, rows in counts.items() if rows < RARE}
    if rare:
        rules.notes.append(
            f"classes of few rows: {', '.join(f'{n} ({r})' for n, r in rare.items())}"
        )
    return "classification", counts


def _with_leaks(
    facts: Sequence[ColumnFacts], frame: pd.DataFrame, label: str, rules: Rules
) -> list[ColumnFacts]:
    """With a note at columns that predict the label alone; one that equals it is left out."""
    known = frame[label].notna()
    labels = frame[label][known]
    checked = []
    for fact in facts:
        column, note = frame[fact.name][known], ""
        if fact.name not in rules.drop and column.equals(labels):
            rules.drop.append(fact.name)
            rules.columns.pop(fact.name, None)
            note = "left out: it equals the label in every row"
        elif fact.name not in rules.drop and _predicts(column, labels):
            note = "predicts the label alone: is it made from the label?"
        checked.append(replace(fact, notes=(*fact.notes, note)) if note else fact)
    return checked


def _predicts(column: pd.Series, labels: pd.Series) -> bool:
    """Whether the label is the same wherever the column has the same value, and values repeat."""
    if labels.nunique() > FEW_CLASSES or column.nunique() * 5 > len(column):
        return False
    counts = pd.crosstab(column.fillna(""), labels)
    return bool(counts.max(axis=1).sum() / counts.to_numpy().sum() >= LEAK)
