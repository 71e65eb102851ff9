"""Frames of pandas as the rows of a game: encoded, and split where a set is not given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from unshapley.config import PrepareSettings
from unshapley.data.chance import collision_rate
from unshapley.data.encoding import encode
from unshapley.data.names import check_distinct, provider_name
from unshapley.data.preparation import OWN_TEST_ROWS, with_label_scale
from unshapley.data.reading import of_frame
from unshapley.data.row_index import RowIndex
from unshapley.data.splits import SETS, divide
from unshapley.data.tables import Schema, fingerprints, to_arrays
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
    before values are believed.
    """

    schema: Schema
    partitions: dict[str, Rows]
    test: Rows
    reference: Rows
    findings: tuple[str, ...]


def read_frames(
    data: Mapping[str, Any], test: Any, reference: Any, settings: PrepareSettings
) -> Tables:
    """Encode frames as `unshapley prepare` does; the user's frames stay as they are.

    test, reference: frames, or None to draw the shares that `settings` states from every provider's
    rows. Raises `InputError` for what is no table, has other columns, or a value that no model can
    use.
    """
    frames = _named(data)
    given = {
        name: set_ for name, set_ in zip(SETS, (test, reference), strict=True) if set_ is not None
    }
    for name, frame in [*frames.items(), *given.items()]:
        _check_frame(name, frame)
    raw = {name: of_frame(frame, str(_place(name))) for name, frame in {**frames, **given}.items()}
    schema, encoded = encode(raw, settings)
    for name, table in encoded.items():
        to_arrays(table, schema, _place(name))  # what no model can use is found before the split
    parts = {name: encoded[name] for name in sorted(frames)}
    sets = divide(parts, {name: encoded[name] for name in given}, settings, schema.features)
    schema = with_label_scale(schema, sets.reference)
    tables = {**sets.train, "test": sets.test, "reference": sets.reference}
    rows = {name: _rows(table, schema, name) for name, table in tables.items()}
    findings = [OWN_TEST_ROWS] if sets.test_sources and not settings.test_from else []
    return Tables(
        schema,
        {name: rows[name] for name in sets.train},
        rows["test"],
        rows["reference"],
        (*findings, *_repeated(tables, schema.features)),
    )


def _named(data: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of providers, by names that providers can have."""
    if not isinstance(data, Mapping) or len(data) < 2:
        raise InputError(
            f"is a {type(data).__name__}"
            + (f" of {len(data)}" if isinstance(data, Mapping) else ""),
            where="data",
            expected="a dictionary of two providers or more: {'north': rows, 'south': rows}",
        )
    named = {}
    for name, table in data.items():
        if not isinstance(name, str):
            raise InputError(f"{name!r} is no name", where="data", expected="a text as key")
        named[provider_name(name, where="data")] = table
    check_distinct(named, where="data")
    return named


def _check_frame(name: str, frame: Any) -> None:
    if not isinstance(frame, pd.DataFrame):
        raise InputError(
            f"is a {type(frame).__name__}", where=_place(name), expected="a pandas DataFrame"
        )
    if frame.empty:
        raise InputError("holds no rows", where=_place(name), do="add rows, or leave it out")


def _place(name: str) -> Path:
    """Where a table stands in the call, for messages."""
    return Path(name if name in SETS else f"data[{name!r}]")


def _rows(table: pd.DataFrame, schema: Schema, name: str) -> Rows:
    x, y = to_arrays(table, schema, _place(name))
    return torch.from_numpy(x), torch.from_numpy(y)


def _repeated(tables: Mapping[str, pd.DataFrame], features: Sequence[str]) -> Iterator[str]:
    """Providers whose rows stand elsewhere too, more of them than chance explains."""
    index = RowIndex(
        {name: fingerprints(table, features) for name, table in tables.items()},
        {name: collision_rate(table, features) for name, table in tables.items()},
    )
    for name in index.partitions:
        facts = index.facts(name)
        for key, where in ELSEWHERE.items():
            if facts.get(key):
                yield f"{facts[key]:.0%} of the rows of {name} are rows {where}"
