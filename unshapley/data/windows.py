"""Documents as rows of tokens.

A table of text has a row a document: `document`, its name; `text`; `tokens`, what the tokenizer
makes of it, without special tokens. A model reads windows of `context` tokens of one document,
never of two, and predicts the next token at each position. A document begins with the token that
stands for its boundary, and ends with it. In a test set of questions (`data.choices`) a row is a
question with one of its options, and only the option is predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unshapley.data.tables import Schema
from unshapley.errors import InputError

DOCUMENT, BODY, TOKENS, CHOICE = "document", "text", "tokens", "choice"
COLUMNS = (DOCUMENT, BODY, TOKENS)
BOUNDARY = 0
"""Token before and after every document where the tokenizer is trained here: <|endoftext|>."""
NONE = -1
"""Label of a position behind the end of a document, or inside a question."""
WRONG = -2
"""Labels of a wrong option's tokens are `WRONG` − token: they are scored, and never counted."""

Tokens = NDArray[np.int32]


def text_prints(frame: pd.DataFrame) -> NDArray[np.uint64]:
    """A 64-bit hash of each document's text `(documents,)`."""
    return np.asarray(pd.util.hash_pandas_object(frame[BODY], index=False), dtype=np.uint64)


def windows_of(tokens: Sequence[int], context: int) -> int:
    """Number of windows of a document with these tokens."""
    return -(-(len(tokens) + 1) // context)


def windows(
    documents: Sequence[Sequence[int]], context: int, boundary: int = BOUNDARY
) -> tuple[Tokens, Tokens]:
    """What a model reads, and what it is to predict, both `(windows, context)`.

    Behind the end of a document there is `boundary` to read, and nothing (`NONE`) to predict.
    """
    counts = [windows_of(tokens, context) for tokens in documents]
    x = np.full((sum(counts), context), boundary, dtype=np.int32)
    y = np.full((sum(counts), context), NONE, dtype=np.int32)
    begin = 0
    for tokens, count in zip(documents, counts, strict=True):
        length = len(tokens) + 1
        part = slice(begin, begin + count)
        flat = x[part].reshape(-1)
        flat[1:length] = tokens
        x[part] = flat.reshape(count, context)
        flat = y[part].reshape(-1)
        flat[: length - 1], flat[length - 1] = tokens, boundary
        y[part] = flat.reshape(count, context)
        begin += count
    return x, y


def choice_window(
    tokens: Sequence[int], choice: int, context: int, boundary: int = BOUNDARY
) -> tuple[Tokens, Tokens]:
    """What a model reads of a question with one option, and what it is to predict `(1, context)`.

    choice: number of the question's tokens, negative for a wrong option.
    """
    x = np.full((1, context), boundary, dtype=np.int32)
    y = np.full((1, context), NONE, dtype=np.int32)
    x[0, 1 : len(tokens)] = tokens[:-1]
    asked = np.asarray(tokens[abs(choice) :], dtype=np.int32)
    y[0, abs(choice) : len(tokens)] = asked if choice > 0 else WRONG - asked
    return x, y


def to_windows(frame: pd.DataFrame, schema: Schema, where: Path) -> tuple[Tokens, Tokens]:
    """The windows of a table of text, as `windows` gives them.

    Raises `InputError` for a table that is none, or holds tokens that the vocabulary does not have.
    """
    missing = [column for column in COLUMNS if column not in frame.columns]
    if missing:
        raise InputError(
            f"column {missing[0]!r} is missing",
            where=where,
            expected=f"a table of text, with {', '.join(COLUMNS)}",
            do="run `unshapley prepare` (or `dvc repro`)",
        )
    if frame.empty:
        raise InputError("holds no documents", where=where, expected="at least one")
    for name, tokens in zip(frame[DOCUMENT], frame[TOKENS], strict=True):
        if len(tokens) and (min(tokens) < 0 or max(tokens) >= schema.vocabulary):
            raise InputError(
                f"document {name!r} holds the token {max(tokens)}",
                where=where,
                expected=f"tokens 0 to {schema.vocabulary - 1}, as schema.json states",
                do="run `unshapley prepare` (or `dvc repro`)",
            )
    if CHOICE not in frame.columns:
        return windows(list(frame[TOKENS]), schema.context, schema.boundary)
    _check_choices(frame, schema, where)
    parts = [
        choice_window(tokens, choice, schema.context, schema.boundary)
        if choice
        else windows([tokens], schema.context, schema.boundary)
        for tokens, choice in zip(frame[TOKENS], frame[CHOICE].astype(int), strict=True)
    ]
    x, y = zip(*parts, strict=True)
    return np.concatenate(x), np.concatenate(y)


def _check_choices(frame: pd.DataFrame, schema: Schema, where: Path) -> None:
    """Raise `InputError` for options that are not as `data.choices` makes them."""
    before = 0
    for name, tokens, choice in zip(frame[DOCUMENT], frame[TOKENS], frame[CHOICE], strict=True):
        whole = choice == int(choice) and abs(choice) < len(tokens) <= schema.context
        if choice and not (whole and (choice > 0 or choice in (-before, before))):
            raise InputError(
                f"{name!r} is no option behind a question",
                where=where,
                expected="what `unshapley prepare` writes of prepare.test",
                do="run `unshapley prepare` (or `dvc repro`)",
            )
        before = choice
