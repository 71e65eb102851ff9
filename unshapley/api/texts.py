"""Documents as the rows of a game: texts by provider, split and made tokens of as in a project."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from unshapley.api.tables import Tables, as_rows, named, place
from unshapley.config import PrepareSettings
from unshapley.data.corpora import tokenised
from unshapley.data.row_index import RowIndex
from unshapley.data.tables import Schema
from unshapley.data.windows import BODY, DOCUMENT, text_prints, to_windows
from unshapley.errors import InputError

PROVIDER = "provider"
"""Column of a table of documents that names whose each is."""


def read_texts(data: Any, test: Any, reference: Any, settings: PrepareSettings) -> Tables:
    """Rows of tokens of a corpus, as `unshapley prepare` makes them.

    data: lists of texts by provider, or a frame with the columns `provider` and that of the text
    (`prepare.documents.column`); test, reference: lists of texts, or None to draw the shares that
    `settings` states. Raises `InputError` for what holds no texts, and for an empty or binary one.
    """
    column = settings.documents.column
    by_provider = named(_by_provider(data, column) if isinstance(data, pd.DataFrame) else data)
    documents = {name: _documents(name, by_provider[name], column) for name in sorted(by_provider)}
    given = {"test": test, "reference": reference}
    own = {n: _documents(n, texts, column) for n, texts in given.items() if texts is not None}
    corpus = tokenised(documents, own, settings, Path())
    sets, schema = corpus.sets, replace(corpus.schema, providers=tuple(corpus.sets.train))
    return as_rows(sets, schema, settings, to_windows, (schema.context,), _index, "documents")


def _index(frames: Mapping[str, pd.DataFrame], _schema: Schema) -> RowIndex:
    prints = {name: text_prints(frame) for name, frame in frames.items()}
    return RowIndex(prints, dict.fromkeys(prints, 0.0))


def _by_provider(frame: pd.DataFrame, column: str) -> dict[Any, list[Any]]:
    """The texts of each provider of a table of documents."""
    missing = [name for name in (PROVIDER, column) if name not in frame.columns]
    if missing:
        raise InputError(
            f"has no column {missing[0]!r}",
            where="data",
            expected=f"columns {PROVIDER} and {column}, or a dictionary of lists of texts",
            do="rename its columns",
        )
    return {name: part[column].tolist() for name, part in frame.groupby(PROVIDER, dropna=False)}


def _documents(name: str, texts: Any, column: str) -> pd.DataFrame:
    """A provider's texts as a table of documents, called by their number."""
    where = place(name)
    if isinstance(texts, pd.DataFrame) and column in texts.columns:
        texts = texts[column]
    if isinstance(texts, str | Mapping | pd.DataFrame) or not isinstance(texts, Iterable):
        raise InputError(
            f"is a {type(texts).__name__}",
            where=where,
            expected=f"a list of texts, a document each, or a frame with the column {column!r}",
        )
    found = list(texts)
    if not found:
        raise InputError("holds no documents", where=where, do="add some, or leave it out")
    for row, text in enumerate(found):
        if not isinstance(text, str):
            problem = f"holds a {type(text).__name__}"
        elif not text.strip() or "\0" in text:
            problem = "is binary: it holds NUL characters" if text.strip() else "is empty"
        else:
            continue
        raise InputError(problem, where=f"{where}[{row}]", expected="a text", do="leave it out")
    width = len(str(len(found) - 1))
    names = [f"{name}:{row:0{width}}" for row in range(len(found))]
    return pd.DataFrame({DOCUMENT: names, BODY: found}).astype("str")
