"""Fill missing values, and mark where they were."""

from __future__ import annotations

from dataclasses import replace
from math import isnan

import pandas as pd

from unshapley.data.splits import Sets
from unshapley.data.tables import Schema
from unshapley.errors import InputError

MARK = "{} is missing"
"""Name of the feature that is 1 where the value was missing."""


def imputed(schema: Schema, sets: Sets) -> tuple[Schema, Sets]:
    """Missing values of a feature become its median in the reference set; a feature marks the rows.
    Nobody's training or test rows determine what stands for a value.

    Raises `InputError` where a feature has no value in the reference set.
    """
    tables = (*sets.train.values(), sets.test, sets.reference)
    incomplete = [f for f in schema.features if any(table[f].isna().any() for table in tables)]
    values = {name: float(sets.reference[name].median()) for name in incomplete}
    empty = next((name for name, value in values.items() if isnan(value)), None)
    if empty is not None:
        raise InputError(
            f"column {empty!r} has no value in the reference set",
            where="prepare.incomplete",
            expected="values to take the median of",
            do=f"raise prepare.reference_share, or leave it out by prepare.drop: [{empty}]",
        )
    features = (*schema.features, *(MARK.format(name) for name in incomplete))
    filled = replace(
        sets,
        train={name: _filled(table, values, schema) for name, table in sets.train.items()},
        test=_filled(sets.test, values, schema),
        reference=_filled(sets.reference, values, schema),
    )
    return replace(schema, features=features, imputed=values), filled


def _filled(table: pd.DataFrame, values: dict[str, float], schema: Schema) -> pd.DataFrame:
    marks = {MARK.format(name): table[name].isna().astype(float) for name in values}
    table = table.fillna(values).assign(**marks)
    return table[[*schema.features, *marks, schema.label]]
