"""What a column of texts seems to hold, and the rule that would read it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from unshapley.config import ReadSettings
from unshapley.data.columns import DATE, INDEX, LEADING_ZEROS, NUMBER, OR_MISSING, TEXTS, TRUTH
from unshapley.data.delimited import UNNAMED
from unshapley.data.names import alike

GAPS = (
    "?",
    "NA",
    "N/A",
    "n/a",
    "nan",
    "NaN",
    "NAN",
    "null",
    "NULL",
    "None",
    "-",
    "--",
    ".",
    "<NA>",
)
"""Texts that stand for a missing value where all other cells of a column are numbers."""
FEW_VALUES = 30
"""Words with at most so many different values are categories."""


WORDS = 3
"""Cells with at least so many words on average are texts, whose words say something; others are
names or codes."""
WRITTEN_OTHERWISE = r"[^\w]*\d[\d.,' ]*\W*"
"""A number with thousands separators, a unit or a sign: 1,234.5 and 45 % and < 3.0."""
MANY_ROWS = 20
"""Of fewer rows, measured whole numbers may all differ."""


@dataclass(frozen=True)
class ColumnFacts:
    """What a column holds in all tables; kind: number, category, date, text or empty."""

    name: str
    kind: str
    missing: int
    distinct: int
    example: str
    notes: tuple[str, ...] = ()


@dataclass
class Rules:
    """Rules that reading needs, and how many cells are missing.

    stated: the user's own, by column: `drop`, or as in prepare.columns.
    """

    drop: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    gaps: int = 0
    notes: list[str] = field(default_factory=list)
    stated: Mapping[str, Any] = field(default_factory=dict)


def look_at(name: str, texts: pd.Series, read: ReadSettings, rules: Rules) -> ColumnFacts:
    """Facts of a column, and the rules that it needs."""
    known = texts.dropna()
    values = known.drop_duplicates()
    kinds = {value: kind_of(value, read.decimal) for value in values}
    gaps = {v for v, kind in kinds.items() if kind == "text" and v in GAPS}
    rest = {kind for value, kind in kinds.items() if value not in gaps}
    notes = []
    if gaps and rest and rest <= {"number", "zeros"}:
        rules.missing |= gaps
        known = known[~known.isin(gaps)]
        values = values[~values.isin(gaps)]
        notes.append(f"{', '.join(sorted(gaps))} stands for a missing value")
    else:
        rest = set(kinds.values())
    kind, decision = _decided(name, rest, values, known)
    decision = rules.stated.get(name, decision)
    if decision == "drop":
        rules.drop.append(name)
    elif decision:
        rules.columns[name] = decision
    missing = len(texts) - len(known)
    if decision == OR_MISSING:
        missing += int(known.map(kinds.get).isin(("text", "date")).sum())
    if decision not in ("drop", *TEXTS):  # a text that is missing has no words
        rules.gaps += missing
    if name in rules.stated:
        notes.append(f"as stated: {decision}")
    else:
        of_texts = kind in ("text", "category")
        notes += (
            _of_texts(kind, decision, known, read) if of_texts else _reasons(kind, decision, rest)
        )
        if kind == "number" and _numbers_rows(values, known, read):
            notes.append("another whole number in every row: if it names rows, leave it out")
    distinct = _different(values, read) if kind == "number" else len(values)
    return ColumnFacts(name, kind, missing, distinct, _example(values), tuple(notes))


def kind_of(text: str, decimal: str) -> str:
    """number, zeros (a number with leading zeros), truth, date or text."""
    plain = _pointed(text, decimal)
    if re.match(NUMBER, plain):
        return "zeros" if re.match(LEADING_ZEROS, plain) else "number"
    if re.match(TRUTH, plain):
        return "truth"
    return "date" if re.match(DATE, plain) else "text"


def _pointed(text: str, decimal: str) -> str:
    return text.replace(",", ".") if decimal == "," else text


def _different(values: pd.Series, read: ReadSettings) -> int:
    """How many values there are of a column of numbers: 1 and 1.0 are one."""
    numbers = pd.to_numeric(values.map(lambda v: _pointed(v, read.decimal)), errors="coerce")
    return int(numbers.nunique() + numbers.isna().sum())  # True and False are no numbers here


def _numbers_rows(values: pd.Series, known: pd.Series, read: ReadSettings) -> bool:
    """Whether whole numbers differ in every row, as those of patients or orders do."""
    whole = values.str.fullmatch(r"\d+").all()
    return bool(whole and len(known) >= MANY_ROWS and _different(values, read) == len(known))


def _example(values: pd.Series) -> str:
    """The first value; a float that is written with all its digits is rounded."""
    text = str(values.iloc[0]) if len(values) else ""
    return f"{float(text):.6g}" if re.fullmatch(r"-?\d+\.\d{12,}", text) else text


def _decided(
    name: str, kinds: set[str], values: pd.Series, known: pd.Series
) -> tuple[str, str | None]:
    """What a column is, and the rule for it: number, category, drop, or none."""
    if not len(values):
        return "empty", "drop"
    if _is_index(name, kinds, values, known):
        return "index", "drop"
    if kinds == {"date"}:
        return "date", "drop"
    if kinds <= {"number", "truth"}:
        return "number", "number" if len(kinds) > 1 else None
    if len(values) <= FEW_VALUES and len(values) * 2 <= len(known):
        return "category", "category"
    words = values.head(1000).map(lambda text: len(text.split())).mean()
    return "text", "text" if words >= WORDS else "drop"


def _is_index(name: str, kinds: set[str], values: pd.Series, known: pd.Series) -> bool:
    unnamed = re.fullmatch(UNNAMED.format(r"\d+"), name) is not None or name == INDEX
    return unnamed or (kinds == {"number"} and len(values) == len(known) > 1 and _counts(known))


def _counts(known: pd.Series) -> bool:
    """Whether the rows are numbered one after the other, as an index is."""
    numbers = pd.to_numeric(known, errors="coerce").to_numpy()
    return bool((np.diff(np.sort(numbers)) == 1).all())


def _of_texts(kind: str, decision: str | None, known: pd.Series, read: ReadSettings) -> list[str]:
    """What becomes of a column of texts, and whether most of them are numbers all the same."""
    kinds = known.map(lambda text: kind_of(text, read.decimal))
    others = known[~kinds.isin(("number", "zeros"))]
    reasons = _reasons(kind, decision, set())
    if decision == "category":
        reasons += [f"{one!r} and {other!r} look alike" for one, other in alike(known.unique())]
    if 0 < len(others) <= len(known) / 2:
        few = f"{len(others)} of {len(known)} cells are no numbers, as {_first(others)}"
        take = f"prepare.columns: {{{known.name}: {OR_MISSING}}} takes these as missing"
        return [f"left out: {few}; {take}"] if decision == "drop" else [*reasons, few]
    if decision != "drop":
        return reasons
    if others.empty:
        return ["left out: numbers with leading zeros are codes"]
    if others.str.fullmatch(WRITTEN_OTHERWISE).mean() > 0.5:
        plain = f"1234{read.decimal}5"
        return [
            f"left out: numbers are written otherwise than {plain}, as {_first(others)}: see "
            "prepare.read.thousands, or take units off by prepare.transform"
        ]
    return reasons


def _first(texts: pd.Series) -> str:
    return repr(str(texts.iloc[0])[:20])


def _reasons(kind: str, decision: str | None, kinds: set[str]) -> list[str]:
    if decision == "drop":
        why = {
            "empty": "it has no value",
            "index": "it numbers the rows",
            "date": "models take no dates; write what of it matters as a number",
            "text": "it holds names or codes",
        }
        return [f"left out: {why[kind]}"]
    if decision == "category":
        return ["a feature of 0 and 1 for each value"]
    if decision == "text":
        return ["words and pairs of words, hashed into prepare.text_features features"]
    if decision == "number" and "truth" in kinds:
        return ["True is 1, False is 0"]
    return []
