"""From the source of the rows to partitions, test set and reference set on disk."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unshapley import faults
from unshapley.config import Params, Prepare
from unshapley.digits import load_forms
from unshapley.errors import InputError
from unshapley.project import Project
from unshapley.rows import Schema, Split, read_table, split, write_table

log = logging.getLogger("unshapley.prepare")

FEW = 5
"""Rows a class below which numbers are hardly classes."""


def prepare(project: Project, params: Params) -> dict[str, int]:
    """Write partitions, test set, reference set and schema; give the training rows by provider."""
    if params.prepare.source == "digits":
        raw, label = load_forms(), "label"
    else:
        raw, label = read_raw(project.raw), params.prepare.label
    schema, tables = encode(raw, label, params.prepare.task)
    splits = {
        provider: _split(table, provider, params.prepare) for provider, table in tables.items()
    }
    schema = replace(
        _scaled(schema, splits), providers=tuple(tables), prepared=prepared_with(params)
    )
    train = faults.plant(
        {p: s.train for p, s in splits.items()}, params.faults, schema, params.prepare.seed
    )
    _write(project, schema, train, splits)
    return {provider: len(table) for provider, table in train.items()}


def _scaled(schema: Schema, splits: dict[str, Split]) -> Schema:
    """With mean and deviation of a numeric label in the reference set, which no model is trained
    or tested on.
    """
    if schema.task == "classification":
        return schema
    labels = pd.concat([s.reference[schema.label] for s in splits.values()])
    scale = float(labels.std(ddof=0))
    if not scale > 0:
        raise InputError(
            f"the label {schema.label!r} does not vary in the reference set",
            where="prepare.reference_share",
            expected="numbers that differ",
            do="raise the share, or correct the label",
        )
    return replace(schema, label_mean=float(labels.mean()), label_scale=scale)


def prepared_with(params: Params) -> dict[str, Any]:
    """The sections of params.yaml that decide what the tables hold."""
    return params.model_dump(mode="json", include={"prepare", "faults"})


def check_prepared(schema: Schema, params: Params, where: Path) -> None:
    """Raise `InputError` where params.yaml speaks of other tables than those on disk."""
    wanted = prepared_with(params)
    for section, settings in wanted.items():
        found = schema.prepared.get(section, {})
        odd = [key for key in settings if found.get(key) != settings[key]]
        if odd:
            raise InputError(
                f"the tables were prepared with {section}.{odd[0]} = {found.get(odd[0])!r}",
                where=where,
                expected=f"{settings[odd[0]]!r}, as params.yaml says",
                do="run `unshapley prepare` (or `dvc repro`), or restore params.yaml",
            )


def _split(table: pd.DataFrame, provider: str, params: Prepare) -> Split:
    """Rows by use; a table with missing values gives none away, so that it can be quarantined."""
    if not np.isfinite(table.to_numpy(dtype=float)).all():
        return Split(table, table.iloc[:0], table.iloc[:0])
    return split(
        table,
        provider,
        test=params.test_share,
        reference=params.reference_share,
        seed=params.seed,
    )


def read_raw(folder: Path) -> dict[str, pd.DataFrame]:
    """One table a provider, named by its file; `InputError` for none or two of one name."""
    files = sorted([*folder.glob("*.csv"), *folder.glob("*.parquet")])
    if not files:
        raise InputError(
            "holds no CSV or parquet file",
            where=folder,
            do="put one file a provider there, or set prepare.source to digits",
        )
    tables: dict[str, pd.DataFrame] = {}
    for file in files:
        if file.stem in tables:
            raise InputError(
                f"provider {file.stem!r} stands there twice",
                where=file,
                expected="one file a provider",
                do="remove or rename one of the two",
            )
        tables[file.stem] = read_table(file)
        if tables[file.stem].empty:
            raise InputError("holds no rows", where=file, do="fill it, or take it away")
    if len(tables) < 2:
        raise InputError(
            "holds the file of one provider only", where=folder, expected="at least two to compare"
        )
    return tables


def encode(
    raw: dict[str, pd.DataFrame], label: str, task: str = "classification"
) -> tuple[Schema, dict[str, pd.DataFrame]]:
    """Labels as class codes or numbers, columns in one order; the first provider's columns are the
    schema.

    Raises `InputError` for a provider without the label, with other columns, or with a feature that
    is no number. Missing values pass: validation tells of them.
    """
    first = next(iter(raw.values()))
    features = [str(c) for c in first.columns if c != label]
    for provider, frame in raw.items():
        _check_columns(frame, provider, label, features, next(iter(raw)))
    if task == "regression":
        for provider, frame in raw.items():
            _check_numbers(frame, provider, label)
        schema = Schema(tuple(features), label, (), task=task)
        return schema, {
            provider: frame.astype({label: float})[[*features, label]]
            for provider, frame in sorted(raw.items())
        }
    classes = _classes(raw, label)
    codes = {value: code for code, value in enumerate(classes)}
    schema = Schema(tuple(features), label, tuple(map(str, classes)))
    return schema, {
        provider: frame.assign(**{label: frame[label].map(codes)})[[*features, label]]
        for provider, frame in sorted(raw.items())
    }


def _check_columns(
    frame: pd.DataFrame, provider: str, label: str, features: list[str], first: str
) -> None:
    where = f"provider {provider}"
    if label not in frame.columns:
        raise InputError(
            f"has no label column {label!r}",
            where=where,
            expected=f"one of its columns {', '.join(map(str, frame.columns[:8]))} …",
            do="set prepare.label",
        )
    odd = set(map(str, frame.columns)) ^ {*features, label}
    if odd:
        raise InputError(
            f"column {min(odd)!r} stands only in {first} or only here",
            where=where,
            expected="the same columns from every provider",
        )
    for column in features:
        _check_numbers(frame, provider, column)


def _check_numbers(frame: pd.DataFrame, provider: str, column: str) -> None:
    number = pd.to_numeric(frame[column], errors="coerce")
    text = number.isna() & frame[column].notna()
    if text.any():
        row = int(text.to_numpy().argmax())
        raise InputError(
            f"column {column!r}, row {row} is {frame[column].iloc[row]!r}",
            where=f"provider {provider}",
            expected="numbers; leave a missing value empty",
            do="correct the file, or encode the column as numbers",
        )


def _classes(raw: dict[str, pd.DataFrame], label: str) -> list[Any]:
    """Distinct labels in order; `InputError` for numbers and words mixed."""
    labels = {provider: frame[label].dropna() for provider, frame in raw.items()}
    words = {p: [v for v in column if isinstance(v, str)] for p, column in labels.items()}
    mixed = [p for p in labels if words[p]]
    if mixed and any(len(words[p]) < len(labels[p]) or not words[p] for p in labels):
        raise InputError(
            f"label {words[mixed[0]][0]!r} is a word, other labels are numbers",
            where=f"provider {mixed[0]}",
            expected="labels of one kind; leave a missing label empty",
        )
    classes = sorted({value for column in labels.values() for value in column.tolist()})
    rows = sum(map(len, labels.values()))
    if not mixed and len(classes) * FEW > rows:
        log.warning(
            "label %r: %d different numbers in %d rows are taken for classes; "
            "if they are amounts, set prepare.task: regression",
            label,
            len(classes),
            rows,
        )
    return classes


def _write(
    project: Project, schema: Schema, train: dict[str, pd.DataFrame], splits: dict[str, Split]
) -> None:
    for provider, table in train.items():
        write_table(table, project.partition(provider))
    for stale in project.partitions.glob("*.parquet"):
        if stale.stem not in train:
            stale.unlink()
    write_table(pd.concat([s.test for s in splits.values()]), project.test)
    write_table(pd.concat([s.reference for s in splits.values()]), project.reference)
    schema.save(project.schema)
