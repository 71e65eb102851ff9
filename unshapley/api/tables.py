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
from unshapley.data.preparation import _with_label_scale
from unshapley.data.reading import of_frame
from unshapley.data.row_index import RowIndex
from unshapley.data.splits import Split, split
from unshapley.data.tables import Schema, fingerprints, to_arrays
from unshapley.errors import InputError
from unshapley.models.rows import Rows

SETS = ("test", "reference")
OWN_TEST_ROWS = (
    "the test rows were drawn from the providers that are valued, so a provider of noise is judged "
    "by its own noise too; give a test set that you trust"
)
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
    splits = {name: _split(table, name, given, settings, schema) for name, table in parts.items()}
    tables = {name: part.train for name, part in splits.items()}
    sets = {
        name: encoded.get(name, pd.concat([getattr(part, name) for part in splits.values()]))
        for name in SETS
    }
    nothing = sets["reference"].iloc[:0]
    schema = _with_label_scale(schema, {"": Split(nothing, nothing, sets["reference"])})
    rows = {name: _rows(table, schema, name) for name, table in {**tables, **sets}.items()}
    findings = [] if test is not None else [OWN_TEST_ROWS]
    return Tables(
        schema,
        {name: rows[name] for name in tables},
        rows["test"],
        rows["reference"],
        (*findings, *_repeated({**tables, **sets}, schema.features)),
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


def _split(
    table: pd.DataFrame,
    provider: str,
    given: Mapping[str, Any],
    settings: PrepareSettings,
    schema: Schema,
) -> Split:
    """The rows of a provider without those that are drawn for a set that is not given."""
    if len(given) == len(SETS):
        return Split(table, table.iloc[:0], table.iloc[:0])
    return split(
        table,
        provider,
        test=0.0 if "test" in given else settings.test_share,
        reference=0.0 if "reference" in given else settings.reference_share,
        seed=settings.seed,
        features=schema.features,
    )


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
