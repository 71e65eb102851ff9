"""Tables of all providers as numbers: one order of columns, one code for each class."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from unshapley.config import PrepareSettings
from unshapley.data.columns import LEADING_ZEROS, NUMBER, Columns, as_texts, numbers, renamed
from unshapley.data.embedding import Vectors, embedded, embedder
from unshapley.data.names import alike
from unshapley.data.reading import RawTable, with_missing
from unshapley.data.tables import Schema
from unshapley.data.words import hashed
from unshapley.errors import InputError

log = logging.getLogger("unshapley.prepare")

FEW = 5
"""With fewer rows per class, numeric labels are probably not classes."""
MOST_CATEGORIES = 100
"""Each becomes a feature."""
NAMED = 5
"""So many rare classes are named one by one."""
RARE = 10
"""With fewer rows a class may be missing from one of training, test and reference set."""
MANY, LEAST = 20, 2
"""More classes than `MANY` with fewer than `LEAST` rows each on average: text, names or numbers."""


def encode(
    raw: Mapping[str, RawTable], settings: PrepareSettings
) -> tuple[Schema, dict[str, pd.DataFrame]]:
    """Tables of numbers by name: features in the order of the first table, then the label as class
    code or number, and the column of providers where there is one. Columns of `tfidf` stay texts,
    as pandas' categories, until it is known which rows are the reference set (`words.weighted`).

    Raises `InputError` where tables do not fit each other, or a cell cannot be what its column is.
    Missing values are accepted here; validation reports them.
    """
    columns = Columns(settings)
    for table in raw.values():
        columns = columns.joined(table)
    label = settings.label
    if settings.label_above is not None:
        labels = {name: _above(table, settings) for name, table in raw.items()}
        classes = _classes(labels, label, are_words=True)
    elif settings.task == "regression":
        labels = {name: numbers(table, label, settings) for name, table in raw.items()}
        classes = []
    else:
        labels = {name: _class_names(table, settings) for name, table in raw.items()}
        classes = _classes(labels, label, are_words="text" in columns.kinds[label])
    categories = {
        name: _categories(raw, name, settings)
        for name in columns.features
        if settings.columns.get(name) == "category"
    }
    texts = {
        name: _texts(raw, name, settings)
        for name in columns.features
        if settings.columns.get(name) == "tfidf"
    }
    vectors = {
        name: _vectors(raw, name, settings)
        for name in columns.features
        if settings.columns.get(name) == "embedding"
    }
    tables = {
        name: _encoded(table, columns, categories, texts, vectors, labels[name], classes)
        for name, table in raw.items()
    }
    first = next(iter(tables.values()))
    features = tuple(c for c in first.columns if c not in (label, *settings.aside))
    schema = Schema(features, label, tuple(classes), task=settings.task, categories=categories)
    return schema, tables


def _encoded(
    table: RawTable,
    columns: Columns,
    categories: Mapping[str, Sequence[str]],
    texts: Mapping[str, list[str]],
    vectors: Mapping[str, Vectors],
    labels: pa.ChunkedArray,
    classes: Sequence[str],
) -> pd.DataFrame:
    settings = columns.settings
    frame: dict[str, pd.Series] = {}
    for name in columns.features:
        rule = settings.columns.get(name)
        if name in categories:
            frame |= _indicators(table, name, categories[name], settings)
        elif rule == "text":
            sentences = _values(table, name, settings).to_pylist()
            words = hashed(name, sentences, settings.text_features)
            frame |= {str(column): values for column, values in words.items()}
        elif name in vectors:
            sentences = _values(table, name, settings).to_pylist()
            numbers_of = embedded(name, sentences, vectors[name])
            frame |= {str(column): values for column, values in numbers_of.items()}
        elif name in texts:
            values = _values(table, name, settings).fill_null("").to_pylist()
            frame[name] = pd.Series(values, dtype=pd.CategoricalDtype(texts[name]))
        elif isinstance(rule, list):
            frame[name] = _in_order(table, name, rule, settings)
        else:
            frame[name] = numbers(table, name, settings).to_pandas()
    if settings.task == "regression":
        frame[settings.label] = labels.to_pandas().astype(float)
    else:
        codes = pc.index_in(labels, pa.array(classes, pa.string())).cast(pa.int64())
        frame[settings.label] = codes.to_pandas()
    for name in settings.aside:
        frame[name] = _values(table, name, settings).to_pandas()
    return pd.DataFrame(frame)


def _categories(
    raw: Mapping[str, RawTable], name: str, settings: PrepareSettings
) -> tuple[str, ...]:
    """All values of a column in all tables, in order."""
    found = {
        value
        for table in raw.values()
        for value in pc.unique(_values(table, name, settings)).drop_null().to_pylist()
    }
    if len(found) > MOST_CATEGORIES:
        raise InputError(
            f"column {name!r} has {len(found)} different values",
            where="prepare.columns",
            expected=f"at most {MOST_CATEGORIES} categories",
            do=f"leave it out by prepare.drop: [{name}], or group the values",
        )
    return tuple(sorted(found))


def _texts(raw: Mapping[str, RawTable], name: str, settings: PrepareSettings) -> list[str]:
    """All different texts of a column in all tables; one that is missing is empty."""
    found = {
        text
        for table in raw.values()
        for text in pc.unique(_values(table, name, settings).fill_null("")).to_pylist()
    }
    return sorted(found)


def _vectors(raw: Mapping[str, RawTable], name: str, settings: PrepareSettings) -> Vectors:
    """What the embedding model makes of every text of a column, each read once."""
    assert settings.embedding is not None  # `PrepareSettings` asks for it
    texts = [text for text in _texts(raw, name, settings) if text]
    if not texts:
        raise InputError(f"column {name!r} holds no text", where="prepare.columns")
    return embedder(Path(settings.embedding)).vectors(texts)


def _values(table: RawTable, name: str, settings: PrepareSettings) -> pa.ChunkedArray:
    return as_texts(with_missing(table.column(name), settings.read))


def _indicators(
    table: RawTable, name: str, categories: Sequence[str], settings: PrepareSettings
) -> dict[str, pd.Series]:
    """A column of 0 and 1 for each category; missing where the value is."""
    values = _values(table, name, settings)
    return {
        f"{name}={category}": pc.equal(values, category).cast(pa.float64()).to_pandas()
        for category in categories
    }


def _in_order(
    table: RawTable, name: str, order: Sequence[str], settings: PrepareSettings
) -> pd.Series:
    """Positions of the values in their order; missing where the value is."""
    values = _values(table, name, settings)
    codes = pc.index_in(values, pa.array(order, pa.string())).cast(pa.float64())
    unknown = pc.and_(pc.is_null(codes), pc.is_valid(values))
    row = pc.index(unknown, True).as_py()
    if row >= 0:
        raise InputError(
            f"column {name!r}, row {row} is {values[row].as_py()!r}",
            where=table.where,
            expected=f"one of {', '.join(order)}, as prepare.columns names them",
            do="add it there, or correct the file",
        )
    positions: pd.Series = codes.to_pandas()
    return positions


def _above(table: RawTable, settings: PrepareSettings) -> pa.ChunkedArray:
    limit = settings.label_above
    is_above = pc.greater(numbers(table, settings.label, settings), limit)
    return pc.if_else(is_above, f"> {limit:g}", f"<= {limit:g}")


def _class_names(table: RawTable, settings: PrepareSettings) -> pa.ChunkedArray:
    """Names of classes; equal numbers have one name, however they are written: 1, 1.0 and 1e0."""
    column = with_missing(table.column(settings.label), settings.read)
    texts = renamed(column, settings.label_classes)
    names = pc.unique(texts).drop_null().to_pylist()
    plain = [_plain_number(name, settings.read.decimal) for name in names]
    return pc.take(pa.array(plain, pa.string()), pc.index_in(texts, pa.array(names, pa.string())))


def _plain_number(text: str, decimal: str) -> str:
    written = text.replace(decimal, ".")
    if not re.match(NUMBER, written) or re.match(LEADING_ZEROS, written):
        return text
    number = Decimal(written)
    return str(int(number)) if number == number.to_integral_value() else str(number.normalize())


def _classes(labels: Mapping[str, pa.ChunkedArray], label: str, *, are_words: bool) -> list[str]:
    """Distinct classes, numbers first, in ascending order; `InputError` for fewer than two."""
    count = Counter[str]()
    for column in labels.values():
        for entry in pc.value_counts(column).to_pylist():
            if entry["values"] is not None:
                count[entry["values"]] += entry["counts"]
    classes = sorted(count, key=_order)
    rows = sum(count.values())
    if len(classes) < 2:
        raise InputError(
            f"the label {label!r} has one class in all files: {classes[0] if classes else 'none'}",
            where="prepare.label",
            expected="at least two classes, or a model has nothing to tell apart",
            do="name another column, or set prepare.task: regression",
        )
    if len(classes) > MANY and len(classes) * LEAST > rows:
        raise InputError(
            f"the label {label!r} has {len(classes)} different values in {rows} rows, as free text "
            f"or a measurement has: {classes[0][:40]!r}, {classes[1][:40]!r}, …",
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
    for one, other in alike(count):
        log.warning(
            "label %r: classes %r and %r look alike; if they are one, prepare.label_classes: "
            "{%r: %r}",
            label,
            one,
            other,
            other,
            one,
        )
    _warn_of_rare(count, label, labels)
    return classes


def _order(name: str) -> tuple[bool, Decimal | int, str]:
    is_number = re.match(NUMBER, name) is not None
    return not is_number, Decimal(name) if is_number else 0, name


def _warn_of_rare(count: Counter[str], label: str, labels: Mapping[str, pa.ChunkedArray]) -> None:
    rare = [name for name in sorted(count, key=_order) if count[name] < RARE]
    for name in rare[:NAMED]:
        holders = [t for t, column in labels.items() if pc.index(column, name).as_py() >= 0]
        log.warning(
            "label %r: class %r has %d %s, of %s: too few for training, test and reference "
            "set to hold it",
            label,
            name,
            count[name],
            "row" if count[name] == 1 else "rows",
            ", ".join(holders),
        )
    if len(rare) > NAMED:
        more = len(rare) - NAMED
        log.warning("label %r: so it is with %d classes more", label, more)
