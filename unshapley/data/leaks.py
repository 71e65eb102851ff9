"""Columns that give the label away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from unshapley.data.column_rules import ColumnFacts, Rules

FEW_CLASSES = 20
"""Numbers with more different values are quantities, not classes."""
LEAK = 0.999
"""A column that predicts the label alone as well as this may be made from it."""


def with_leaks(
    facts: Sequence[ColumnFacts], frame: pd.DataFrame, label: str, rules: Rules
) -> list[ColumnFacts]:
    """With a note at columns that predict the label alone; one that equals it is left out."""
    known = frame[label].notna()
    labels = frame[label][known]
    checked = []
    for fact in facts:
        column, note = frame[fact.name][known], ""
        if fact.name not in rules.drop and column.equals(labels):
            rules.drop.append(fact.name)
            rules.columns.pop(fact.name, None)
            note = "left out: it equals the label in every row"
        elif fact.name not in rules.drop and _predicts(column, labels):
            note = "predicts the label alone: is it made from the label?"
        checked.append(replace(fact, notes=(*fact.notes, note)) if note else fact)
    return checked


def _predicts(column: pd.Series, labels: pd.Series) -> bool:
    """Whether the label is the same wherever the column has the same value, and values repeat."""
    if labels.nunique() > FEW_CLASSES or column.nunique() * 5 > len(column):
        return False
    counts = pd.crosstab(column.fillna(""), labels)
    return bool(counts.max(axis=1).sum() / counts.to_numpy().sum() >= LEAK)
