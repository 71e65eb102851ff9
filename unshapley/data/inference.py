"""What tables seem to hold, and the rules that would read them: shown to the user, who decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from unshapley.config import PrepareSettings, ReadSettings
from unshapley.data.column_rules import ColumnFacts, Rules, kind_of, look_at
from unshapley.data.columns import as_texts, check_same_columns
from unshapley.data.dialect import dialect_of, prepare_settings
from unshapley.data.encoding import RARE
from unshapley.data.leaks import FEW_CLASSES, with_leaks
from unshapley.data.names import alike as alike_names
from unshapley.data.names import meant, provider_name
from unshapley.data.pictures import is_picture
from unshapley.data.reading import SUFFIXES, RawTable, read_file, with_missing
from unshapley.data.sources import files_like, is_table, provider_of, table_files
from unshapley.data.unusable import alike, of_nested, without_nested
from unshapley.errors import InputError


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
    stated: Mapping[str, Any] | None = None,
) -> Inspection:
    """Look at all tables together, or at folders PROVIDER/CLASS of pictures; `InputError` for files
    that cannot be read as tables.

    files: by their place in data/raw; label, provider: names of these columns; without a label none
    is looked for; stated: keys of section prepare that the user has set, which come before what is
    inferred.
    """
    paths = list(files.values())
    own = dict(stated or {})
    names = prepare_settings(own).provider_names  # refuses what is no setting before it reads
    if all(is_picture(name) for name in files):
        return _of_pictures(files, label, own)
    read = dialect_of(paths, own.get("read") or {})
    columns = own.pop("columns", None) or {}
    drop = own.pop("drop", None) or []
    tables = alike({path: read_file(path, read) for path in paths}, {*drop} - {label, provider})
    tables, nested = without_nested(tables, {label, provider})
    frame = _all_rows(tables, label, provider, read)
    _check_columns([name for name in columns if name not in nested], list(frame.columns))
    if provider:
        _check_providers(tables, provider, read, names)
        frame[provider] = [meant(text, names) for text in frame[provider]]
    rules = Rules(missing=set(read.missing), stated={**columns, **dict.fromkeys(drop, "drop")})
    rules.drop += nested
    facts = []
    for name in frame.columns:
        if name in (label, provider, own.get("group"), own.get("time")):
            continue
        fact = look_at(name, frame[name], read, rules)
        facts.append(fact)
    task, classes = _task(frame, label, read, rules)
    if label is not None:
        facts = with_leaks(facts, frame, label, rules)
    facts += [of_nested(name, kind) for name, kind in nested.items()]
    if not any(fact.name not in rules.drop for fact in facts):
        rules.notes.append("no column is left that the label could be predicted from")
    chosen: dict[str, Any] = {
        "source": "files",
        "provider": provider,
        "columns": {**columns, **rules.columns},
        "drop": list(dict.fromkeys([*drop, *rules.drop])),
        "incomplete": "impute" if rules.gaps else "keep",
        "task": task if own.get("label_above") is None else "classification",
    }
    if label is not None:
        chosen["label"] = label
    chosen |= {**own, "read": {**read.model_dump(), "missing": sorted(rules.missing)}}
    rows = _counted(frame[provider]) if provider else _rows_of(files, tables)
    return Inspection(prepare_settings(chosen), tuple(facts), rows, classes, tuple(rules.notes))


def _of_pictures(
    files: Mapping[str, Path], label: str | None, own: Mapping[str, Any]
) -> Inspection:
    places = [PurePosixPath(name) for name in files]
    outside = next((place for place in places if len(place.parts) < 3), None)
    if outside is not None:
        raise InputError(
            "lies in no folder PROVIDER/CLASS",
            where=files[str(outside)],
            expected="the pictures of each class in a folder of its name, in the provider's folder",
        )
    with_label = {} if label is None else {"label": label}
    settings = prepare_settings({"source": "files", **with_label, **own})
    judging = {settings.test, settings.reference}
    places = [place for place in places if place.parts[0] not in judging]
    side, channels = settings.pictures.side, settings.pictures.channels
    return Inspection(
        settings,
        (),
        dict(sorted(Counter(place.parts[0] for place in places).items())),
        dict(sorted(Counter(place.parent.name for place in places).items())),
        (f"pictures are resized to {side} × {side} {channels} pixels: prepare.pictures",),
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
            files = table_files(path, nested=True)
            pictures = files_like(is_picture, path, nested=True)
            if files and pictures:
                raise InputError(
                    f"holds tables, as {files[0].name}, and pictures, as {pictures[0].name}",
                    where=path,
                    do="give a folder of either",
                )
            files = files or pictures
            found += [(file.relative_to(path).as_posix(), file) for file in files]
        elif not path.is_file():
            raise InputError("there is no such file or folder", where=path)
        elif not is_table(path.name):
            raise InputError(
                "is no table",
                where=path,
                expected=", ".join(SUFFIXES),
                do="save it as .csv or .parquet",
            )
        else:
            found.append((path.name, path))
    if not found:
        raise InputError("holds no table", where=", ".join(map(str, paths)))
    names = Counter(name for name, _ in found)
    twice = next((name for name, times in names.items() if times > 1), None)
    if twice is not None:
        raise InputError(f"there are two files named {twice!r}", do="rename one of them")
    return dict(found)


def _check_providers(
    tables: Mapping[Path, RawTable], name: str, read: ReadSettings, names: Mapping[str, str]
) -> None:
    """Raise `InputError` for what `prepare` would refuse in the column of providers."""
    for path, table in tables.items():
        cells = _texts(table.column(name), read)
        if cells.isna().any():
            raise InputError(
                f"column {name!r}: {int(cells.isna().sum())} of {len(cells)} cells are empty, the "
                f"first in row {int(cells.isna().to_numpy().argmax())}",
                where=path,
                expected="the provider of every row",
                do="fill them in, or leave these rows, such as one of totals, out of the file",
            )
        for text in cells.unique():
            provider_name(meant(text, names), where=f"column {name!r}")


def _rows_of(files: Mapping[str, Path], tables: Mapping[Path, RawTable]) -> dict[str, int]:
    """Rows by provider: a file, or a folder of files."""
    rows = Counter[str]()
    for name, path in files.items():
        rows[provider_of(PurePosixPath(name))] += tables[path].rows.num_rows
    return dict(sorted(rows.items()))


def _check_columns(stated: Sequence[str], names: Sequence[str]) -> None:
    """Raise `InputError` for a rule of a column that no table has."""
    unknown = [name for name in stated if name not in names]
    if unknown:
        raise InputError(
            f"there is no column {unknown[0]!r}",
            where="prepare.columns",
            expected=f"one of {', '.join(map(str, names[:12]))}{' …' * (len(names) > 12)}",
            do="correct the name",
        )


def _all_rows(
    tables: Mapping[Path, RawTable], label: str | None, provider: str | None, read: ReadSettings
) -> pd.DataFrame:
    """All tables as texts, one below the other."""
    names = next(iter(tables.values())).rows.column_names
    for path, table in tables.items():
        check_same_columns(table.rows.column_names, path, names, next(iter(tables)))
        if not table.rows.num_rows:
            raise InputError("holds no rows", where=path, do="add rows, or leave the file out")
    for key, name in (("label", label), ("provider", provider)):
        if name is not None and name not in names:
            raise InputError(
                f"there is no column {name!r}",
                where=f"--{key}",
                expected=f"one of {', '.join(map(str, names[:12]))}{' …' * (len(names) > 12)}",
                do="correct the name" if read.header else f"name all {len(names)} columns: --names",
            )
    parts = [
        pd.DataFrame({name: _texts(table.column(name), read) for name in names})
        for table in tables.values()
    ]
    return pd.concat(parts, ignore_index=True)


def _texts(column: pa.ChunkedArray, read: ReadSettings) -> pd.Series:
    if pa.types.is_temporal(column.type):
        column = pc.strftime(column, format="%Y-%m-%d")
    texts = as_texts(with_missing(column, read))
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
    rules.notes += [
        f"classes {one!r} and {other!r} look alike: if they are one, prepare.label_classes: "
        f"{{{other!r}: {one!r}}}"
        for one, other in alike_names(counts)
    ]
    if len(counts) == 1:
        rules.notes.append(
            f"the label {label!r} has one class only: there is nothing to tell apart"
        )
    return "classification", counts
