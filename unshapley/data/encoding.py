"""Bring the tables of all providers into one format: label codes, one order of columns."""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd

from unshapley.data.tables import Schema
from unshapley.errors import InputError

log = logging.getLogger("unshapley.prepare")

FEW = 5
"""With fewer rows per class, numeric labels are probably not classes."""


def encode(
    raw: dict[str, pd.DataFrame], label: str, task: str = "classification"
) -> tuple[Schema, dict[str, pd.DataFrame]]:
    """Encode labels as class codes or numbers, and order all columns as the first provider's.

    Raises `InputError` for a provider without the label, with other columns, or with a non-numeric
    feature. Missing values are accepted here; validation reports them.
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
    different = set(map(str, frame.columns)) ^ {*features, label}
    if different:
        raise InputError(
            f"column {min(different)!r} is only in {first} or only here",
            where=where,
            expected="the same columns from every provider",
        )
    for column in features:
        _check_numbers(frame, provider, column)


def _check_numbers(frame: pd.DataFrame, provider: str, column: str) -> None:
    numbers = pd.to_numeric(frame[column], errors="coerce")
    is_text = numbers.isna() & frame[column].notna()
    if is_text.any():
        row = int(is_text.to_numpy().argmax())
        raise InputError(
            f"column {column!r}, row {row} is {frame[column].iloc[row]!r}",
            where=f"provider {provider}",
            expected="numbers; leave a missing value empty",
            do="correct the file, or encode the column as numbers",
        )


def _classes(raw: dict[str, pd.DataFrame], label: str) -> list[Any]:
    """Distinct labels in order; `InputError` for a mixture of numbers and words."""
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
    if len(classes) < 2:
        raise InputError(
            f"the label {label!r} has one class in all files: {classes[0] if classes else 'none'}",
            where="prepare.label",
            expected="at least two classes, or a model has nothing to tell apart",
            do="name another column, or set prepare.task: regression",
        )
    rows = sum(map(len, labels.values()))
    if not mixed and len(classes) * FEW > rows:
        log.warning(
            "label %r: %d different numbers in %d rows are treated as classes; "
            "if they are quantities, set prepare.task: regression",
            label,
            len(classes),
            rows,
        )
    return classes
