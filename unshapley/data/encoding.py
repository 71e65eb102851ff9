"""Bring the tables of all providers into one format: label codes, one order of columns."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from unshapley.data.tables import Schema
from unshapley.errors import InputError

log = logging.getLogger("unshapley.prepare")

FEW = 5
"""With fewer rows per class, numeric labels are probably not classes."""
MANY, LEAST = 20, 2
"""More classes than `MANY` with fewer than `LEAST` rows each on average: text, names or numbers."""


def encode(
    raw: dict[str, pd.DataFrame], label: str, task: str = "classification"
) -> tuple[Schema, dict[str, pd.DataFrame]]:
    """Encode labels as class codes or numbers, and order all columns as the first provider's.

    Raises `InputError` for a provider without the label, with other columns, or with a non-numeric
    feature. Missing values are accepted here; validation reports them.
    """
    form = Format(label, task)
    for provider, frame in raw.items():
        form = form.joined(provider, frame)
    if task == "regression":
        schema = Schema(form.features, label, (), task=task)
        return schema, {
            provider: frame.astype({label: float})[[*form.features, label]]
            for provider, frame in sorted(raw.items())
        }
    classes = _classes(raw, label, are_words=form.word is not None)
    codes = {value: code for code, value in enumerate(classes)}
    schema = Schema(form.features, label, tuple(map(str, classes)))
    return schema, {
        provider: frame.assign(**{label: frame[label].map(codes)})[[*form.features, label]]
        for provider, frame in sorted(raw.items())
    }


@dataclass(frozen=True)
class Format:
    """What the tables of all providers have in common; it grows table by table.

    first: the provider whose columns are the features; number, word: the first provider with labels
    of this kind, and one of them.
    """

    label: str
    task: str = "classification"
    features: tuple[str, ...] = ()
    first: str | None = None
    number: tuple[str, Any] | None = None
    word: tuple[str, Any] | None = None

    def joined(self, provider: str, frame: pd.DataFrame) -> Format:
        """The format with one more table; `InputError` if it does not fit those before it."""
        form = self
        if self.first is None:
            features = tuple(str(c) for c in frame.columns if c != self.label)
            form = replace(self, first=provider, features=features)
        if not form.features:
            raise InputError(
                f"no column is left beside the label {self.label!r}",
                where=f"provider {provider}",
                expected="at least one column of numbers, from which the label can be predicted",
                do="add the features to the file, or name another column in prepare.label",
            )
        _check_columns(frame, provider, self.label, form.features, form.first)
        kinds = frame.dtypes
        for column in form.features:
            if not is_numeric_dtype(kinds[column]):  # a column at a time is slow
                _check_numbers(frame, provider, column)
        if self.task == "regression":
            _check_numbers(frame, provider, self.label)
            return form
        return form._with_labels(provider, frame[self.label].dropna().tolist())

    def _with_labels(self, provider: str, labels: list[Any]) -> Format:
        first_word = next((v for v in labels if isinstance(v, str)), None)
        first_number = next((v for v in labels if not isinstance(v, str)), None)
        word = self.word or (None if first_word is None else (provider, first_word))
        number = self.number or (None if first_number is None else (provider, first_number))
        if word and number:
            raise InputError(
                f"label {word[1]!r} is a word, {number[1]!r} of provider {number[0]} is a number",
                where=f"provider {word[0]}",
                expected="labels of one kind; leave a missing label empty",
            )
        return replace(self, word=word, number=number)


def _check_columns(
    frame: pd.DataFrame, provider: str, label: str, features: tuple[str, ...], first: str | None
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


def _classes(raw: dict[str, pd.DataFrame], label: str, *, are_words: bool) -> list[Any]:
    """Distinct labels in order; `InputError` for fewer than two."""
    labels = [frame[label].dropna() for frame in raw.values()]
    classes = sorted({value for column in labels for value in column.tolist()})
    if len(classes) < 2:
        raise InputError(
            f"the label {label!r} has one class in all files: {classes[0] if classes else 'none'}",
            where="prepare.label",
            expected="at least two classes, or a model has nothing to tell apart",
            do="name another column, or set prepare.task: regression",
        )
    rows = sum(map(len, labels))
    if len(classes) > MANY and len(classes) * LEAST > rows:
        raise InputError(
            f"the label {label!r} has {len(classes)} different values in {rows} rows, as free text "
            f"or a measurement has: {str(classes[0])[:40]!r}, {str(classes[1])[:40]!r}, …",
            where="prepare.label",
            expected=f"classes with {LEAST} rows or more on average",
            do="name another column"
            + ("" if are_words else ", or set prepare.task: regression if it is a quantity"),
        )
    if not are_words and len(classes) * FEW > rows:
        log.warning(
            "label %r: %d different numbers in %d rows are treated as classes; "
            "if they are quantities, set prepare.task: regression",
            label,
            len(classes),
            rows,
        )
    return classes
