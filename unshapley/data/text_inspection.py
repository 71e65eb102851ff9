"""What a corpus seems to hold, and the rules that would read it: shown to the user, who decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from unshapley.config import PrepareSettings, ValidationSettings
from unshapley.data.dialect import prepare_settings
from unshapley.data.documents import is_document, is_of_text, read_raw_text, strings
from unshapley.data.names import check_distinct, meant, provider_name
from unshapley.data.near_copies import NearCopies, shingles
from unshapley.data.sources import files_like, provider_of
from unshapley.data.tables import TEXT
from unshapley.data.tokenizing import KEY, Tokenizer, existing, trained
from unshapley.data.windows import BODY, text_prints
from unshapley.errors import InputError

LEAST = 257
"""Tokens of the smallest vocabulary: the bytes, and the boundary."""
SURE = 0.7
"""Share of the pairs that a sample gave which another sample will surely give."""
NAMED = 5
"""Documents that a note names; more are counted."""
ENCODINGS = ("utf-8", "utf-16", "cp1252", "latin-1")
"""Encodings that are tried where documents are in another one, the strictest first."""


@dataclass(frozen=True)
class CorpusFacts:
    """What the documents of one provider look like; shortest and longest are characters.

    repeated, near: documents that equal, or nearly equal, one of the same or an earlier provider.
    """

    documents: int
    characters: int
    tokens: int
    shortest: int
    longest: int
    empty: int
    unreadable: int
    repeated: int
    near: int


@dataclass(frozen=True)
class CorpusInspection:
    """What a corpus seems to hold, and the rules that would read it.

    providers: by name; problem: the first document that cannot be read, as prepare would say it;
    notes: what a user should know or decide.
    """

    settings: PrepareSettings
    providers: Mapping[str, CorpusFacts]
    problem: InputError | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Document:
    provider: str
    text: str
    place: str
    problem: InputError | None = None


def is_corpus(paths: Sequence[Path], stated: Mapping[str, Any]) -> bool:
    """Whether these are documents: where section prepare says so, or all files are of text."""
    if "task" in stated:
        return bool(stated["task"] == TEXT)
    files = [file for path in paths for file in _files(path)]
    return bool(files) and all(is_document(file.name) for file in files)


def _files(path: Path) -> list[Path]:
    """A file, or the files of a folder that are not hidden."""
    return files_like(bool, path, nested=True) if path.is_dir() else [path]


def documents_among(paths: Sequence[Path], besides: Path | None = None) -> dict[str, Path]:
    """Files of text and tables of documents, by their place in data/raw; those of folders keep
    their folders.

    besides: a file or folder that is none of them. Raises `InputError` where there is none, and for
    two of one name.
    """
    found: list[tuple[str, Path]] = []
    for path in paths:
        if not path.exists():
            raise InputError("there is no such file or folder", where=path)
        for file in filter(lambda file: is_of_text(file.name), _files(path)):
            if not _is_in(file, besides):
                place = file.relative_to(path).as_posix() if path.is_dir() else file.name
                found.append((place, file))
    if not found:
        raise InputError("holds no documents", where=", ".join(map(str, paths)))
    twice = [name for name, times in Counter(name for name, _ in found).items() if times > 1]
    if twice:
        raise InputError(f"there are two files named {twice[0]!r}", do="rename one of them")
    return dict(found)


def _is_in(file: Path, folder: Path | None) -> bool:
    """Whether this is that file, or one in that folder."""
    return folder is not None and file.resolve().is_relative_to(folder.resolve())


def inspect_corpus(
    files: Mapping[str, Path], provider: str | None, stated: Mapping[str, Any], folder: Path
) -> CorpusInspection:
    """Look at all documents together; `InputError` for tables that cannot be read.

    files: by their place in data/raw; provider: name of that column; stated: keys of section
    prepare that the user has set; folder: below which a tokenizer that they name lies.
    """
    chosen = {"source": "files", "task": TEXT, "provider": provider, **stated}
    settings = prepare_settings(chosen)
    documents = [d for place, path in files.items() for d in _read(place, path, settings)]
    problem = next((d.problem for d in documents if d.problem), None)
    by_provider: dict[str, list[_Document]] = {}
    for document in documents:
        by_provider.setdefault(document.provider, []).append(document)
    check_distinct(by_provider)
    texts = {n: [d.text for d in part if d.text] for n, part in sorted(by_provider.items())}
    notes = [*_notes_of_encoding(documents, files, settings)]
    settings, tokenizer, more = _with_tokenizer(settings, texts, stated, folder)
    empty = [d for d in documents if not (d.text or d.problem)]
    if empty and "incomplete" not in stated:
        settings = settings.model_copy(update={"incomplete": "drop"})
        more.append(f"{_counted(empty)} left out, as there is no text: {_places(empty)}")
    facts, longest = _facts(by_provider, texts, tokenizer)
    context = settings.documents.context
    if longest < context and "context" not in (stated.get("documents") or {}):
        context = max(2, 2 ** (longest.bit_length() - 1))
        more.append(f"the longest document has {longest} tokens, so a row has {context}")
        settings = _with_documents(settings, context=context)
    return CorpusInspection(settings, facts, problem, (*notes, *more))


def _with_documents(settings: PrepareSettings, **changes: object) -> PrepareSettings:
    documents = settings.documents.model_copy(update=changes)
    return settings.model_copy(update={"documents": documents})


def _read(place: str, path: Path, settings: PrepareSettings) -> Iterator[_Document]:
    """The documents of one file; empty ones have no text."""
    name = provider_of(PurePosixPath(place))
    if settings.provider is None:
        provider_name(name, where=path)
    try:
        table = read_raw_text(path, settings)
    except InputError as error:
        if not is_document(path.name):
            raise
        yield _Document(name, "", place, error)
        return
    for column in (settings.documents.column, settings.provider):
        if column is not None and column not in table.rows.column_names:
            raise InputError(
                f"has no column {column!r}",
                where=path,
                expected=f"one of {', '.join(table.rows.column_names[:12])}",
                do="name it: --provider, or --set prepare.documents.column=…",
            )
    texts = strings(table, settings.documents.column)
    owners = [name] * len(texts)
    if settings.provider is not None:
        owners = table.column(settings.provider).to_pylist()
    for row, (text, owner) in enumerate(zip(texts, owners, strict=True)):
        if owner is None:
            raise InputError(f"column {settings.provider!r}, row {row} is empty", where=path)
        problem = None
        if "\0" in (text or ""):
            problem = InputError(f"row {row} is binary: it holds NUL characters", where=path)
        whole = text if text and text.strip() and problem is None else ""
        at = place if is_document(path.name) else f"{place}:{row}"
        named = provider_name(meant(owner, settings.provider_names), where=path)
        yield _Document(named, whole, at, problem)


def _notes_of_encoding(
    documents: Sequence[_Document], files: Mapping[str, Path], settings: PrepareSettings
) -> Iterator[str]:
    """How many documents cannot be read, and the encoding that would read all of them."""
    found = [d for d in documents if d.problem is not None]
    if not found:
        return
    yield f"{_counted(found)} not readable as {settings.read.encoding}: {_places(found)}"
    contents = [path.read_bytes() for name, path in files.items() if is_document(name)]
    for encoding in ENCODINGS:
        try:
            decoded = [content.decode(encoding) for content in contents]
        except UnicodeError:
            continue
        if not any("\0" in text for text in decoded):
            yield f"{encoding} would read all files of text: --set prepare.read.encoding={encoding}"
        return


def _counted(documents: Sequence[_Document]) -> str:
    return "1 document is" if len(documents) == 1 else f"{len(documents)} documents are"


def _places(documents: Sequence[_Document]) -> str:
    """Where they stand, of many the first."""
    more = f" and {len(documents) - NAMED} more" if len(documents) > NAMED else ""
    return ", ".join(document.place for document in documents[:NAMED]) + more


def _with_tokenizer(
    settings: PrepareSettings,
    texts: Mapping[str, Sequence[str]],
    stated: Mapping[str, Any],
    folder: Path,
) -> tuple[PrepareSettings, Tokenizer | None, list[str]]:
    """The tokenizer that is named, or one of a sample as large as the reference set, with a
    vocabulary that the sample gives.
    """
    documents = settings.documents
    if documents.tokenizer is not None:
        return settings, existing(folder / documents.tokenizer), []
    step = max(1, round(1 / settings.reference_share))
    every = [text for part in texts.values() for text in part]
    sample = every[::step]
    if not sample:
        return settings, None, []
    tokenizer = trained(sample, documents.vocabulary, at_most=True)
    size = tokenizer.vocabulary
    if size == documents.vocabulary or "vocabulary" in (stated.get("documents") or {}):
        return settings, tokenizer, []
    size = LEAST + int(SURE * (size - LEAST))
    note = f"there is little text, so the vocabulary has {size} tokens: {KEY} may name another"
    return _with_documents(settings, vocabulary=size), trained(sample, size, at_most=True), [note]


def _facts(
    by_provider: Mapping[str, Sequence[_Document]],
    texts: Mapping[str, Sequence[str]],
    tokenizer: Tokenizer | None,
) -> tuple[dict[str, CorpusFacts], int]:
    """Facts by provider, and the most tokens of a document."""
    prints = {n: text_prints(pd.DataFrame({BODY: part}, dtype="str")) for n, part in texts.items()}
    sets = {name: [shingles(text) for text in part] for name, part in texts.items()}
    near = NearCopies(sets, prints, ValidationSettings().near_copies or 1.0)
    seen = np.array([], dtype=np.uint64)
    out, longest = {}, 0
    for name, part in texts.items():
        tokens = [len(t) for t in tokenizer.encode(part)] if tokenizer else []
        longest = max([longest, *tokens])
        first = ~pd.Series(prints[name]).duplicated().to_numpy()
        new = first & ~np.isin(prints[name], seen)
        seen = np.union1d(seen, prints[name])
        lengths = [len(text) for text in part] or [0]
        copies = near.of(name)
        rows = {copy.row for key in ("near_repeated", "near_in_partitions") for copy in copies[key]}
        unreadable = sum(d.problem is not None for d in by_provider[name])
        out[name] = CorpusFacts(
            documents=len(by_provider[name]),
            characters=sum(lengths),
            tokens=sum(tokens),
            shortest=min(lengths),
            longest=max(lengths),
            empty=len(by_provider[name]) - len(part) - unreadable,
            unreadable=unreadable,
            repeated=int((~new).sum()),
            near=len(rows),
        )
    return out, longest
