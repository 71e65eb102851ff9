"""Prepare text: documents of providers become rows of tokens, split by document."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from unshapley.config import Params, PrepareSettings
from unshapley.data import faults, near_copies
from unshapley.data.choices import QUESTION, bytes_counted, choice_tokens
from unshapley.data.documents import read_documents
from unshapley.data.language_drift import FAR, distances, token_counts
from unshapley.data.splits import Sets, divide
from unshapley.data.tables import TEXT, Schema
from unshapley.data.tokenizing import Tokenizer, check_library, tokenizer_of
from unshapley.data.windows import BODY, CHOICE, COLUMNS, DOCUMENT, TOKENS, windows_of
from unshapley.errors import InputError
from unshapley.project import Project

log = logging.getLogger("unshapley.prepare")


@dataclass(frozen=True)
class Corpus:
    """Prepared text: tables of documents by use, and the tokenizer that gave their tokens."""

    schema: Schema
    sets: Sets
    tokenizer: Tokenizer


def prepare_corpus(project: Project, params: Params) -> Corpus:
    """Read the documents of all providers, plant faults, split them and make tokens of them.

    The tokenizer is trained on the reference set, which no model is trained or tested on, so that
    it is the same for every coalition.
    """
    settings = params.prepare
    if settings.source != "files":
        raise InputError(
            f"prepare.source is {settings.source}, which holds no text",
            where="prepare.task: language-model",
            do="set prepare.source: files, and put documents into data/raw",
        )
    check_library()
    if params.validation.near_copies is not None:  # validation will want it
        near_copies.check_library()
    documents, own = read_documents(project.raw, settings)
    documents = faults.plant_text(documents, params.faults, settings.seed)
    return tokenised(documents, own, settings, project.root)


def tokenised(
    documents: Mapping[str, pd.DataFrame],
    own: Mapping[str, pd.DataFrame],
    settings: PrepareSettings,
    root: Path,
) -> Corpus:
    """Documents by provider split, and made tokens of.

    own: the user's own test and reference set; root: where the path of a tokenizer starts.
    """
    sets = divide(documents, own, settings, (BODY,))
    _warn_of_few(sets, settings)
    tokenizer = tokenizer_of(settings.documents, sets.reference[BODY].tolist(), root)
    context = settings.documents.context
    train = {name: _with_tokens(frame, tokenizer) for name, frame in sets.train.items()}
    _check_context(train, context)
    counts = {n: token_counts(list(f[TOKENS]), tokenizer.vocabulary) for n, f in train.items()}
    for name, distance in distances(counts).items():
        if distance > FAR:
            log.warning(
                "%s: its language is unlike that of the others (distance %.2f of 1)", name, distance
            )
    test = _test_with_tokens(sets.test, tokenizer, context)
    test_bytes = bytes_counted(sets.test)
    sets = Sets(
        train,
        test,
        _with_tokens(sets.reference, tokenizer),
        windows_by_source(test, sets.test_sources, context),
    )
    schema = Schema(
        (BODY,),
        "",
        (),
        task=TEXT,
        context=context,
        vocabulary=tokenizer.vocabulary,
        tokenizer=hashlib.sha256(tokenizer.content.encode()).hexdigest(),
        boundary=tokenizer.boundary,
        unknown=tokenizer.unknown,
        test_bytes=test_bytes,
    )
    return Corpus(replace(schema, test_sources=sets.test_sources), sets, tokenizer)


def windows_by_source(
    test: pd.DataFrame, documents: Mapping[str, int], context: int
) -> dict[str, int]:
    """How many windows the test documents of each provider have, in the order of the table.

    documents: how many each gave.
    """
    counts = np.array([windows_of(tokens, context) for tokens in test[TOKENS]])
    ends = np.cumsum(list(documents.values()))
    parts = np.split(counts, ends[:-1]) if documents else []
    return {name: int(part.sum()) for name, part in zip(documents, parts, strict=True)}


def _with_tokens(frame: pd.DataFrame, tokenizer: Tokenizer) -> pd.DataFrame:
    tokens = tokenizer.encode(frame[BODY].tolist())
    empty = next((i for i, part in enumerate(tokens) if not len(part)), None)
    if empty is not None:
        raise InputError(
            f"the tokenizer makes nothing of document {frame[DOCUMENT].iloc[empty]!r}",
            where="prepare.documents.tokenizer",
            expected="a tokenizer of such text",
            do="name another, or remove the document",
        )
    return frame.assign(**{TOKENS: pd.Series(tokens, index=frame.index, dtype=object)})[
        list(COLUMNS)
    ]


def _test_with_tokens(frame: pd.DataFrame, tokenizer: Tokenizer, context: int) -> pd.DataFrame:
    """As `_with_tokens`; options of questions also have the column `choice`."""
    if QUESTION not in frame:
        return _with_tokens(frame, tokenizer)
    tokens, choice = choice_tokens(frame, tokenizer, context)
    made = frame.assign(**{TOKENS: pd.Series(tokens, dtype=object), CHOICE: pd.Series(choice)})
    return made[[*COLUMNS, CHOICE]]


def _check_context(train: Mapping[str, pd.DataFrame], context: int) -> None:
    """Raise `InputError` where no document fills a row, and say whose documents do not."""
    longest = {name: max(map(len, frame[TOKENS])) for name, frame in train.items()}
    most = max(longest.values())
    if most < context:
        raise InputError(
            f"the longest document has {most} tokens, and a row {context}",
            where="prepare.documents.context",
            expected="documents that fill a row",
            do=f"lower it to {most} or less, or join short documents",
        )
    short = [name for name, length in longest.items() if length < context]
    if short:
        log.warning(
            "every document is shorter than prepare.documents.context = %d: %s",
            context,
            ", ".join(short),
        )


def _warn_of_few(sets: Sets, settings: PrepareSettings) -> None:
    if settings.test is not None:
        return
    judging = settings.test_from or sets.train
    silent = [name for name in judging if name not in sets.test_sources]
    if silent:
        log.warning(
            "no test documents come from %s: too few (a document is never split), or all stand "
            "with another provider too",
            ", ".join(silent),
        )
