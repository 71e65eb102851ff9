"""Tables as the rows of a game: encoded, and split where a set is not given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from numpy.typing import NDArray

from unshapley.api.forms import Form, as_form
from unshapley.config import PrepareSettings
from unshapley.data.chance import collision_rate
from unshapley.data.encoding import encode
from unshapley.data.imputing import imputed
from unshapley.data.names import check_distinct, provider_name
from unshapley.data.preparation import OWN_TEST_ROWS, with_label_scale, without_incomplete
from unshapley.data.reading import of_frame
from unshapley.data.row_index import RowIndex
from unshapley.data.splits import SETS, Sets, divide
from unshapley.data.tables import Schema, fingerprints, to_arrays
from unshapley.data.words import weighted
from unshapley.errors import InputError
from unshapley.models.rows import Rows

ELSEWHERE = {
    "rows_in_partitions": "of another provider before it",
    "rows_in_test": "of the test set, which then judges what it has taught",
    "rows_in_reference": "of the reference set",
}
"""Where rows of a provider stand too, in words."""


@dataclass(frozen=True)
class Tables:
    """The rows of a game.

    partitions: training rows by provider, in provider order; findings: what is to be known of them
    before values are believed; shape: of a row as it was given; it is flat here.
    """

    schema: Schema
    partitions: dict[str, Rows]
    test: Rows
    reference: Rows
    findings: tuple[str, ...]
    shape: tuple[int, ...]


def read_tables(
    data: Mapping[str, Any] | pd.DataFrame,
    test: Any,
    reference: Any,
    settings: PrepareSettings,
    *,
    scale_label: bool = True,
) -> Tables:
    """Encode tables as `unshapley prepare` does; the user's own stay as they are.

    test, reference: tables, or None to draw the shares that `settings` states from every provider's
    rows; scale_label: standardise a numeric label by the reference set. Raises `InputError` for
    what is no table, has other columns, or a value that no model can use.
    """
    sets_given = {"test": test, "reference": reference}
    raw = {**named(data), **{n: table for n, table in sets_given.items() if table is not None}}
    forms = {name: _form(name, table, settings.label) for name, table in raw.items()}
    _check_shapes(forms)
    schema, encoded = _encoded(forms, settings)
    encoded = without_incomplete(encoded, settings)
    if settings.incomplete != "impute":
        for name, table in encoded.items():  # what no model can use is found before the split
            to_arrays(table, _without_texts(schema, settings), place(name))
    own = {name: encoded.pop(name) for name in SETS if name in encoded}
    sets = divide(dict(sorted(encoded.items())), own, settings, schema.features)
    schema, sets = weighted(schema, sets, settings)
    if settings.incomplete == "impute":
        schema, sets = imputed(schema, sets)
    if scale_label:
        schema = with_label_scale(schema, sets.reference)
    schema = replace(schema, test_sources=sets.test_sources)
    shape = next(iter(forms.values())).shape
    return as_rows(sets, schema, settings, to_arrays, shape, _index)


def as_rows(
    sets: Sets,
    schema: Schema,
    settings: PrepareSettings,
    read: Callable[[pd.DataFrame, Schema, Path], tuple[NDArray[Any], NDArray[Any]]],
    shape: tuple[int, ...],
    index: Callable[[Mapping[str, pd.DataFrame], Schema], RowIndex],
    unit: str = "rows",
) -> Tables:
    """The tables of split sets as the rows of a game; unit: what a row is, in words."""
    tables = {**sets.train, "test": sets.test, "reference": sets.reference}
    rows = {}
    for name, table in tables.items():
        x, y = read(table, schema, place(name))
        rows[name] = torch.from_numpy(x), torch.from_numpy(y)
    findings = [OWN_TEST_ROWS] if sets.test_sources and not settings.test_from else []
    return Tables(
        schema,
        {name: rows[name] for name in sets.train},
        rows["test"],
        rows["reference"],
        (*findings, *_repeated(index(tables, schema), unit)),
        shape,
    )


def _without_texts(schema: Schema, settings: PrepareSettings) -> Schema:
    """Without the columns whose words wait for the reference set."""
    features = tuple(n for n in schema.features if settings.columns.get(n) != "tfidf")
    return replace(schema, features=features)


def _form(name: str, table: Any, label: str) -> Form:
    form = as_form(table, label, place(name))
    if form.frame.empty:
        raise InputError("holds no rows", where=place(name), do="add rows, or leave it out")
    return form


def _check_shapes(forms: Mapping[str, Form]) -> None:
    first, expected = next((name, form.shape) for name, form in forms.items())
    for name, form in forms.items():
        if form.shape != expected and len(form.shape) + len(expected) > 2:
            raise InputError(
                f"rows have the shape {form.shape}",
                where=place(name),
                expected=f"{expected}, as those of {place(first)}",
            )


def _encoded(
    forms: Mapping[str, Form], settings: PrepareSettings
) -> tuple[Schema, dict[str, pd.DataFrame]]:
    """As `encode`; of arrays of numbers only the label and one column are read, as thousands of
    pixels would take a minute.
    """
    frames = {name: form.frame for name, form in forms.items()}
    first, label = next(iter(frames.values())), settings.label
    arrays = all(f.numeric for f in forms.values()) and not (settings.columns or settings.drop)
    same = all(list(frame.columns) == list(first.columns) for frame in frames.values())
    if not (arrays and same) or settings.aside:
        return encode({n: of_frame(f, str(place(n))) for n, f in frames.items()}, settings)
    read = {n: of_frame(f[["x0", label]], str(place(n))) for n, f in frames.items()}
    schema, encoded = encode(read, settings)
    tables = {name: frames[name].assign(**{label: part[label]}) for name, part in encoded.items()}
    return replace(schema, features=tuple(first.columns.drop(label))), tables


def named(data: Any) -> dict[str, Any]:
    """The tables of providers, by names that providers can have."""
    if not isinstance(data, Mapping) or len(data) < 2:
        raise InputError(
            f"is a {type(data).__name__}"
            + (f" of {len(data)}" if isinstance(data, Mapping) else ""),
            where="data",
            expected="a dictionary of two providers or more: {'north': rows, 'south': rows}",
        )
    out = {}
    for name, table in data.items():
        if not isinstance(name, str):
            raise InputError(f"{name!r} is no name", where="data", expected="a text as key")
        out[provider_name(name, where="data")] = table
    check_distinct(out, where="data")
    return out


def place(name: str) -> Path:
    """Where a table stands in the call, for messages."""
    return Path(name if name in SETS else f"data[{name!r}]")


def _index(tables: Mapping[str, pd.DataFrame], schema: Schema) -> RowIndex:
    return RowIndex(
        {name: fingerprints(table, schema.features) for name, table in tables.items()},
        {name: collision_rate(table, schema.features) for name, table in tables.items()},
    )


def _repeated(index: RowIndex, unit: str) -> Iterator[str]:
    """Providers whose rows stand elsewhere too, more of them than chance explains."""
    for name in index.partitions:
        facts = index.facts(name)
        for key, where in ELSEWHERE.items():
            if facts.get(key):
                yield f"{facts[key]:.0%} of the {unit} of {name} are {unit} {where}"
