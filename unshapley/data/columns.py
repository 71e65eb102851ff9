"""What the columns of all tables hold: decided from all of them together, before any is changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from math import isnan
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from unshapley.config import PrepareSettings
from unshapley.data.delimited import UNNAMED
from unshapley.data.reading import RawTable, with_missing
from unshapley.errors import InputError

log = logging.getLogger("unshapley.prepare")

Kind = Literal["number", "zeros", "truth", "date", "text"]
"""Of a cell: `zeros` is a number with leading zeros, as codes have them."""
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
OR_MISSING = "number_or_missing"
"""The rule of a column whose cells that are no numbers count as missing."""
TEXTS = ("text", "tfidf", "embedding")
"""Rules of columns whose words count; a text that is missing has none."""
LEADING_ZEROS = r"^[+-]?0\d"
TRUTH = r"^(?i:true|false)$"
DATE = r"^(\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{2,4})([T ].*)?$"
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Cell:
    """One cell, as an example of its kind."""

    where: str
    row: int
    value: str

    def __str__(self) -> str:
        return f"{self.value[:60]!r} (row {self.row} of {self.where})"


def check_same_columns(
    names: Collection[str], where: object, others: Collection[str], other: object
) -> None:
    """Raise `InputError` for a table that lacks a column of another one, or has one more."""
    lacking, more = sorted({*others} - {*names}), sorted({*names} - {*others})
    if not (lacking or more):
        return
    problem = f"has no column {lacking[0]!r}" if lacking else f"has a column {more[0]!r}"
    problem += f", which {other} {'has' if lacking else 'has not'}"
    raise InputError(
        problem + (f", but a column {more[0]!r}" if lacking and more else ""),
        where=where,
        expected="the same columns in every table",
        do="correct the tables, or leave it out: prepare.drop",
    )


@dataclass(frozen=True)
class Columns:
    """Columns of all tables seen so far; it grows table by table.

    first: the table whose columns the others must have; kinds: of every column, the kinds of cells
    that were seen, each with the first cell of that kind.
    """

    settings: PrepareSettings
    first: str | None = None
    names: tuple[str, ...] = ()
    kinds: Mapping[str, Mapping[Kind, Cell]] = field(default_factory=dict)

    @property
    def features(self) -> tuple[str, ...]:
        left_out = {self.settings.label, *self.settings.aside}
        return tuple(name for name in self.names if name not in left_out)

    def joined(self, table: RawTable) -> Columns:
        """With one more table; `InputError` if it does not fit those before it."""
        names = tuple(n for n in table.rows.column_names if n not in self.settings.drop)
        columns = self
        if self.first is None:
            columns = replace(self, first=table.where, names=names)
        columns._check_names(table.where, names)
        kinds = {
            name: {**_kinds(table, name, self.settings), **columns.kinds.get(name, {})}
            for name in columns.names
        }
        columns = replace(columns, kinds=kinds)
        for name in columns.features:
            columns._check_feature(name)
        columns._check_label()
        return columns

    def _check_names(self, where: str, names: tuple[str, ...]) -> None:
        settings = self.settings
        unnamed = next((n for i, n in enumerate(names) if n in (UNNAMED.format(i), INDEX)), None)
        if unnamed is not None:
            raise InputError(
                f"column {names.index(unnamed) + 1} has no name, as a written index has none",
                where=where,
                expected="columns with names",
                do=f"name it in the file, or leave it out: prepare.drop: [{unnamed!r}]",
            )
        for key in ("label", "provider", "group", "time"):
            name = getattr(settings, key)
            if name is not None and name not in names:
                raise InputError(
                    f"has no {key} column {name!r}",
                    where=where,
                    expected=f"that column beside {', '.join(map(str, names[:8]))} …",
                    do=f"add it, or correct its name: prepare.{key}",
                )
        if not self.features:
            raise InputError(
                f"no column is left beside the label {settings.label!r}",
                where=where,
                expected="at least one column of numbers, from which the label can be predicted",
                do="add the features to the file, or name another column in prepare.label",
            )
        check_same_columns(names, where, self.names, self.first)

    def _check_feature(self, name: str) -> None:
        kinds, rule = self.kinds[name], self.settings.columns.get(name)
        if rule in ("category", *TEXTS, OR_MISSING) or isinstance(rule, list):
            return
        if not kinds.keys() - {"number"}:
            return
        one = next(cell for kind, cell in kinds.items() if kind != "number")
        choices = (
            f"prepare.columns: {{{name}: category}} (or {', '.join(TEXTS)}, {OR_MISSING}), or "
            f"prepare.drop: [{name}]"
        )
        if "date" in kinds:
            raise InputError(
                f"column {name!r} holds dates: {kinds['date']}",
                where=one.where,
                expected="numbers or categories",
                do=f"prepare.drop: [{name}], or write what of it matters as a number",
            )
        if "text" in kinds:
            raise InputError(
                f"column {name!r}, row {kinds['text'].row} is {kinds['text'].value[:60]!r}",
                where=kinds["text"].where,
                expected="numbers; leave a missing value empty, or name its text in "
                "prepare.read.missing",
                do=f"correct the file, or choose {choices}",
            )
        if rule == "number":
            return
        if "zeros" in kinds:
            raise InputError(
                f"column {name!r} has leading zeros, which numbers lose: {kinds['zeros']}",
                where=one.where,
                expected="numbers, or categories",
                do=f"choose prepare.columns: {{{name}: number}}, {choices}",
            )
        if "number" in kinds:
            raise InputError(
                f"column {name!r} is {kinds['truth']} and {kinds['number']}",
                where=one.where,
                expected="cells of one kind in all files",
                do=f"choose prepare.columns: {{{name}: number}} (True is 1), {choices}",
            )

    def _check_label(self) -> None:
        name = self.settings.label
        kinds = self.kinds[name]
        if self.settings.task == "regression" or self.settings.label_above is not None:
            other = next((cell for kind, cell in kinds.items() if kind not in NUMBERS), None)
            if other is not None:
                raise InputError(
                    f"column {name!r}, row {other.row} is {other.value[:60]!r}",
                    where=other.where,
                    expected="numbers; leave a missing label empty",
                    do="correct the file, or set prepare.task: classification",
                )
        elif "truth" in kinds and "number" in kinds:
            true, number = kinds["truth"], kinds["number"]
            raise InputError(
                f"the label {name!r} is {true} and {number}",
                where=true.where,
                expected="labels of one kind in all files",
                do="say what they mean: prepare.label_classes: {'True': '1', 'False': '0'}",
            )


INDEX = "__index_level_0__"
"""Name of an index without one in a parquet file that pandas wrote."""
NUMBERS = ("number", "zeros")


def _kinds(table: RawTable, name: str, settings: PrepareSettings) -> dict[Kind, Cell]:
    """The kinds of cells of one column, each with the first cell."""
    column = with_missing(table.column(name), settings.read)
    if name == settings.label and settings.label_classes:
        column = renamed(column, settings.label_classes)
    kind = column.type
    if pa.types.is_string(kind):
        masks = _masks(_with_point(column, settings.read.decimal))
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        _check_finite(table.where, name, column)
        masks = {"number": pc.is_valid(column)}
    elif pa.types.is_boolean(kind):
        masks = {"truth": pc.is_valid(column)}
    elif pa.types.is_temporal(kind):
        masks = {"date": pc.is_valid(column)}
    elif pa.types.is_null(kind):
        masks = {}
    else:
        raise InputError(
            f"column {name!r} has cells of type {kind}",
            where=table.where,
            expected="numbers, texts or truth values",
            do=f"leave it out by prepare.drop: [{name}]",
        )
    first = {kind: pc.index(mask, True).as_py() for kind, mask in masks.items()}
    return {k: Cell(table.where, i, str(column[i].as_py())) for k, i in first.items() if i >= 0}


def _masks(texts: pa.ChunkedArray) -> dict[Kind, pa.ChunkedArray]:
    is_like: Callable[[str], pa.ChunkedArray] = lambda p: pc.match_substring_regex(texts, p)  # noqa: E731
    number = is_like(NUMBER)
    zeros = pc.and_(number, is_like(LEADING_ZEROS))
    truth, date = is_like(TRUTH), pc.and_(is_like(DATE), pc.invert(number))
    text = pc.invert(pc.or_(pc.or_(number, truth), date))
    number = pc.and_(number, pc.invert(zeros))
    return {"number": number, "zeros": zeros, "truth": truth, "date": date, "text": text}


def _check_finite(where: str, name: str, column: pa.ChunkedArray) -> None:
    """Raise `InputError` for the first number that float32 cannot hold."""
    if pa.types.is_integer(column.type):
        return
    bad = pc.greater(pc.abs(column), LARGEST)
    row = pc.index(bad, True).as_py()
    if row >= 0:
        raise InputError(
            f"column {name!r}, row {row} is {column[row].as_py()!r}",
            where=where,
            expected=f"finite numbers up to {LARGEST:.2g}, which models compute with",
            do="correct the file, or write the column in another unit",
        )


def _with_point(texts: pa.ChunkedArray, decimal: str) -> pa.ChunkedArray:
    return pc.replace_substring(texts, ",", ".") if decimal == "," else texts


def renamed(column: pa.ChunkedArray, classes: Mapping[str, str]) -> pa.ChunkedArray:
    """Labels as texts, those in `classes` as the class named there."""
    texts = as_texts(column)
    index = pc.index_in(texts, pa.array(list(classes), pa.string()))
    return pc.coalesce(pc.take(pa.array(list(classes.values()), pa.string()), index), texts)


def as_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cells as texts; truth values are True and False, whole numbers have no point."""
    if pa.types.is_boolean(column.type):
        return pc.if_else(column, "True", "False")
    if pa.types.is_floating(column.type):
        texts = [None if v is None or isnan(v) else f"{v:.17g}" for v in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())])
    return column.cast(pa.string())


def numbers(table: RawTable, name: str, settings: PrepareSettings) -> pa.ChunkedArray:
    """A column of numbers; truth values are 1 and 0. `InputError` beyond what float32 can hold."""
    column = with_missing(table.column(name), settings.read)
    if pa.types.is_string(column.type):
        texts = _with_point(column, settings.read.decimal)
        texts = pc.replace_substring_regex(texts, "^(?i:true)$", "1")
        texts = pc.replace_substring_regex(texts, "^(?i:false)$", "0")
        if settings.columns.get(name) == OR_MISSING:
            texts = _only_numbers(table, name, texts)
        column = pc.replace_substring_regex(texts, r"^\+", "").cast(pa.float64())
        _check_finite(table.where, name, column)
    elif pa.types.is_boolean(column.type) or pa.types.is_null(column.type):
        column = column.cast(pa.float64())
    return column


def _only_numbers(table: RawTable, name: str, texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without the cells that are no numbers, which are counted and named."""
    is_number = pc.match_substring_regex(texts, NUMBER)
    others = texts.filter(pc.invert(is_number))
    if len(others):
        log.warning(
            "%s: %d cells of column %r are no numbers and count as missing, the first is %r",
            table.where,
            len(others),
            name,
            others[0].as_py()[:60],
        )
    return pc.if_else(is_number, texts, pa.scalar(None, pa.string()))
