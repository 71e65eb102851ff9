"""Tokenizers: byte-level BPE trained here (Sennrich et al. 2016; on bytes: Radford et al. 2019), or
one that exists. No code of a tokenizer's folder is run and no pickle is read: JSON only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unshapley.config import DocumentSettings
from unshapley.data.tables import Schema
from unshapley.data.windows import Tokens
from unshapley.errors import InputError
from unshapley.files import read_json, sha256

END = "<|endoftext|>"
"""The boundary of documents in a tokenizer that is trained here; its token is 0."""
ENDS = (END, "<|end_of_text|>", "</s>", "<eos>")
"""What it is called in others, where their folder does not say it."""
LEAST_PAIRS = 2
"""A pair of tokens becomes one if it stands so often."""
BATCH = 1000
"""Documents that are in memory as the library's objects at a time."""
KEY = "prepare.documents.tokenizer"


@dataclass(frozen=True)
class Tokenizer:
    """How text becomes tokens.

    content: as JSON, what data/tokenizer.json holds; boundary: token before and after a document;
    unknown: token of what it does not know, −1 if it knows everything.
    """

    content: str
    vocabulary: int
    boundary: int = 0
    unknown: int = -1

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of each text; what reads like a special token is text."""
        return list(self._encoded(texts))

    def _encoded(self, texts: Sequence[str]) -> Iterator[Tokens]:
        library = _of_json(self.content, "tokenizer.json")
        for begin in range(0, len(texts), BATCH):
            batch = list(texts[begin : begin + BATCH])
            for encoding in library.encode_batch_fast(batch, add_special_tokens=False):
                yield np.array(encoding.ids, dtype=np.int32)


def tokenizer_of(settings: DocumentSettings, texts: Sequence[str], folder: Path) -> Tokenizer:
    """The tokenizer that settings name, below this folder, or one trained on these texts."""
    if settings.tokenizer is None:
        return trained(texts, settings.vocabulary)
    return existing(folder / settings.tokenizer)


def stored(path: Path, schema: Schema) -> Tokenizer:
    """The tokenizer that prepared tables were made with, from data/tokenizer.json.

    Raises `InputError` where it is missing, or another one.
    """
    again = "restore it with `dvc checkout`, or run `unshapley prepare`"
    if not path.is_file():
        raise InputError("file is missing", where=path, do=again)
    if sha256(path) != schema.tokenizer:
        raise InputError(
            "is not the tokenizer that the tables were prepared with",
            where=path,
            expected=f"SHA-256 {schema.tokenizer}, as schema.json states",
            do=again,
        )
    content = path.read_text(encoding="utf-8")
    return Tokenizer(content, schema.vocabulary, schema.boundary, schema.unknown)


def check_library() -> Any:
    """The package `tokenizers`; `InputError` where it is not installed."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads forbid to fork
    try:
        import tokenizers
    except ImportError:
        raise InputError(
            "the package tokenizers is not installed",
            where="prepare.task: language-model",
            do="pip install 'unshapley[text]'",
        ) from None
    return tokenizers


def trained(texts: Sequence[str], vocabulary: int, *, at_most: bool = False) -> Tokenizer:
    """Byte-level BPE: 256 bytes, the boundary, and the most frequent pairs of these texts.

    Raises `InputError` where they have too few pairs, unless the vocabulary is one `at_most`.
    """
    check_library()
    from tokenizers import Tokenizer as Library
    from tokenizers import decoders, models, pre_tokenizers, trainers

    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=LEAST_PAIRS,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library.train_from_iterator(iter(texts), trainer)
    size = library.get_vocab_size()
    if size < vocabulary and not at_most:
        raise InputError(
            f"the text of the reference set gives {size} tokens only",
            where="prepare.documents.vocabulary",
            expected=f"{vocabulary} tokens",
            do="lower it, raise prepare.reference_share, or name a tokenizer: "
            "prepare.documents.tokenizer",
        )
    return Tokenizer(library.to_str(), size)


def existing(path: Path) -> Tokenizer:
    """The tokenizer of a tokenizer.json, or of a Hugging Face folder that holds one.

    Raises `InputError` where there is none, or it does not say by which token documents end.
    """
    file = file_of(path)
    content = _read(file)
    library = _of_json(content, file)
    tokens: dict[str, int] = library.get_vocab(with_added_tokens=True)
    if not tokens:
        raise InputError("has no tokens", where=file, expected="a trained tokenizer")
    unknown = getattr(library.model, "unk_token", None)
    if isinstance(unknown, int):  # of a unigram model, which counts
        unknown = library.id_to_token(unknown)
    return Tokenizer(
        content,
        max(tokens.values()) + 1,
        _boundary(tokens, file),
        -1 if unknown is None else tokens.get(unknown, -1),
    )


def numbers_of(file: Path) -> dict[str, int]:
    """The number of each token of a tokenizer.json; `InputError` where it cannot be read."""
    numbers: dict[str, int] = _of_json(_read(file), file).get_vocab(with_added_tokens=True)
    return numbers


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except (OSError, UnicodeError) as error:
        raise InputError(f"cannot be read: {error}", where=file) from None


def file_of(path: Path) -> Path:
    """The tokenizer.json that a path names; `InputError` where there is none."""
    if not path.exists():
        raise InputError(
            "there is no such file or folder",
            where=path,
            expected=f"tokenizer.json, or a folder that holds one: {KEY}",
        )
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise InputError(
            "holds no tokenizer.json",
            where=path,
            expected="the folder of a tokenizer, as transformers saves fast ones",
            do="save it as one: AutoTokenizer.from_pretrained(…, use_fast=True).save_pretrained(…)",
        )
    return file


def _of_json(content: str, where: object) -> Any:
    check_library()
    from tokenizers import Tokenizer as Library

    try:
        library = Library.from_str(content)
    except Exception as error:  # noqa: BLE001 (the library raises nothing more specific)
        raise InputError(
            f"is no tokenizer: {str(error).splitlines()[0]}",
            where=where,
            expected="a tokenizer.json of the library tokenizers",
        ) from None
    library.no_padding()
    library.no_truncation()
    library.encode_special_tokens = True
    return library


def _boundary(tokens: dict[str, int], file: Path) -> int:
    """The token that ends documents: as the folder states it, else the one that is called so."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        beside = file.with_name(name)
        stated = read_json(beside, do="correct it") if beside.is_file() else None
        end = stated.get("eos_token") if isinstance(stated, dict) else None
        end = end.get("content") if isinstance(end, dict) else end
        if isinstance(end, str) and end in tokens:
            return tokens[end]
    known = [name for name in ENDS if name in tokens]
    if len(known) != 1:
        raise InputError(
            "does not say by which token a document ends"
            + f": it has {' and '.join(map(repr, known))}" * bool(known),
            where=file,
            expected=f"one token among {', '.join(ENDS)}, or tokenizer_config.json beside it that "
            "names eos_token",
            do=f"write {json.dumps({'eos_token': '…'}, ensure_ascii=False)} to that file",
        )
    return tokens[known[0]]
