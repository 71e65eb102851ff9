"""Summaries of tables of text, which is what expectations are checked on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.expectations.summaries import Masks, TableSummary, columns_facts, share_of
from unshapley.data.language_drift import Counts, distances, token_counts
from unshapley.data.near_copies import Copy, NearCopies, Shingles, shingles
from unshapley.data.row_index import SETS, RowIndex
from unshapley.data.tables import Schema
from unshapley.data.windows import BODY, CHOICE, COLUMNS, DOCUMENT, TOKENS, text_prints

LOST = "\ufffd"
"""The character that decoders write for what they cannot read."""


@dataclass(frozen=True)
class TextSummary(TableSummary):
    """What expectations see of one table of text.

    shingles: of every document; counts: of every token `(vocabulary,)`.
    """

    shingles: tuple[Shingles, ...]
    counts: Counts


def summarise_text(frame: pd.DataFrame, name: str, schema: Schema, *, near: bool) -> TextSummary:
    """Summary of one table, without what depends on the other tables.

    near: whether near-copies will be looked for.
    """
    asks = name == "test" and CHOICE in frame
    columns = columns_facts(frame, (*COLUMNS, CHOICE) if asks else COLUMNS)
    wrong = frame[CHOICE].lt(0).tolist() if asks else [False] * len(frame)
    frame = frame.reindex(columns=list(COLUMNS))
    texts = texts_of(frame)
    lengths = texts.str.len()
    tokens = [np.asarray(t) for t in frame[TOKENS] if np.ndim(t) == 1]
    counts = token_counts(tokens, schema.vocabulary)
    unknown = counts[schema.unknown] if 0 <= schema.unknown < len(counts) else 0
    facts: dict[str, object] = {
        "table": name,
        "rows": float(len(frame)),
        **columns,
        **{kind: share_of(mask) for kind, mask in text_masks(frame, schema).items()},
        "unknown": float(unknown / max(1, counts.sum())),
        "shortest": float(lengths.min()) if len(frame) else np.nan,
        "longest": float(lengths.max()) if len(frame) else np.nan,
    }
    return TextSummary(
        facts,
        pd.DataFrame({"table": [], "column": []}),
        text_prints(frame.assign(**{BODY: texts})),
        0.0,
        # options of one question are alike by nature
        tuple(shingles("" if skip else text) for text, skip in zip(texts, wrong, strict=True))
        if near
        else (),
        counts,
    )


def texts_of(frame: pd.DataFrame) -> pd.Series:
    """The texts of a table; what is none is empty."""
    return pd.Series(
        [text if isinstance(text, str) else "" for text in frame[BODY]], frame.index, dtype="str"
    )


def text_masks(frame: pd.DataFrame, schema: Schema) -> Masks:
    """Documents `(rows,)` that are of a kind."""
    texts = texts_of(frame)
    names = frame[DOCUMENT]
    masks = {
        "unnamed": names.isna() | names.duplicated(keep=False),
        "empty": texts.str.strip() == "",
        "binary": texts.str.contains("\0", regex=False),
        "replaced": texts.str.contains(LOST, regex=False),
        "foreign": pd.Series([_is_foreign(t, schema) for t in frame[TOKENS]], dtype=bool),
    }
    return {kind: mask.to_numpy(dtype=bool) for kind, mask in masks.items()}


def _is_foreign(tokens: Any, schema: Schema) -> bool:
    """Whether these are not tokens of a document: none, or others than the vocabulary's."""
    if np.ndim(tokens) != 1 or not len(tokens):
        return True
    known = (np.asarray(tokens) >= 0) & (np.asarray(tokens) < schema.vocabulary)
    return not (known & (np.asarray(tokens) != schema.boundary)).all()


class TextIndex(RowIndex):
    """Where documents stand, what is nearly the same, and whose language is unlike the others'.

    threshold: similarity from which two documents are near-copies; None: none are looked for.
    """

    def __init__(self, summaries: Mapping[str, TextSummary], threshold: float | None) -> None:
        super().__init__(
            {name: summary.prints for name, summary in summaries.items()},
            {name: summary.collisions for name, summary in summaries.items()},
        )
        sets = {name: summary.shingles for name, summary in summaries.items()}
        near = None if threshold is None else NearCopies(sets, self.prints, threshold)
        self.near: dict[str, dict[str, list[Copy]]] = {
            name: {} if near is None else near.of(name) for name in summaries
        }
        self.drift = distances({n: s.counts for n, s in summaries.items() if n not in SETS})

    def facts(self, name: str) -> dict[str, float]:
        rows = max(1, len(self.prints[name]))
        near = {key: len(copies) / rows for key, copies in self.near[name].items()}
        return {**super().facts(name), **near, "drift": self.drift.get(name, 0.0)}

    def copies(self, name: str, key: str) -> list[Copy]:
        """The documents of a table that stand, or nearly stand, elsewhere, and where."""
        if key in self.near[name]:
            return self.near[name][key]
        holders = self.elsewhere(name)[key]
        prints = self.prints[name]
        return [
            Copy(row, str(other), int(np.argmax(self.prints[str(other)] == prints[row])), 1.0)
            for row, other in enumerate(holders)
            if other is not None
        ]


def places(mask: NDArray[np.bool_], names: pd.Series) -> str:
    """How many documents are of a kind, and the first ones."""
    first = ", ".join(repr(str(name)) for name in names[mask][:3])
    return f"{mask.sum()} of {len(mask)} ({first}{', …' * bool(mask.sum() > 3)})"
