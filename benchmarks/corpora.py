"""Two games of text from what Python itself ships: who wrote what a small language model reads.

`packages`: a provider is a package of the standard library, its documents are pieces of modules.
`prose`: providers hold the manual's topics and docstrings, English, beside one of code, one that
copied another, and one of garbage.
"""

from __future__ import annotations

import ast
import importlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from unshapley.config import PretrainSettings
from unshapley.data.windows import windows
from unshapley.game.game import Game
from unshapley.models.fitting import fit
from unshapley.models.rows import Rows

PACKAGES = ("asyncio", "concurrent", "email", "http", "importlib", "json", "logging", "unittest")
LENGTH = 600
"""Characters of a document."""


@dataclass(frozen=True)
class Corpus:
    """Documents by provider, and those that judge and train the tokenizer."""

    train: Mapping[str, list[str]]
    test: Mapping[str, list[str]]
    reference: list[str]


def pieces(text: str) -> Iterator[str]:
    """A text cut at line ends into documents of about `LENGTH` characters."""
    part = ""
    for line in text.splitlines(keepends=True):
        part += line
        if len(part) >= LENGTH:
            yield part
            part = ""


def modules_of(package: str) -> list[str]:
    """Documents of a package's source, in the order of its files."""
    root = Path(importlib.import_module(package).__file__ or "").parent
    files = sorted(p for p in root.rglob("*.py") if "test" not in p.parts)
    return [piece for path in files for piece in pieces(path.read_text("utf-8"))]


def docstrings_of(package: str) -> list[str]:
    """Documents of a package's docstrings."""
    root = Path(importlib.import_module(package).__file__ or "").parent
    texts = [
        ast.get_docstring(node) or ""
        for path in sorted(root.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module)
    ]
    return list(pieces("\n\n".join(t for t in texts if len(t) > 60)))


def topics() -> list[str]:
    """Documents of the manual that `help()` shows."""
    from pydoc_data.topics import topics as texts

    return [piece for _, text in sorted(texts.items()) for piece in pieces(text)]


def garbage(documents: list[str], rng: random.Random) -> list[str]:
    """The documents with their characters in random order."""
    return ["".join(rng.sample(text, len(text))) for text in documents]


def split(
    documents: Mapping[str, list[str]], counts: Mapping[str, int], judged: list[str], seed: int
) -> Corpus:
    """Of every provider `counts` training documents; test and reference rows from `judged`."""
    rng = random.Random(seed)  # noqa: S311
    train, test, reference = {}, {}, []
    for name, in_order in documents.items():
        texts = rng.sample(in_order, len(in_order))
        train[name] = texts[: counts[name]]
        if name in judged:
            test[name] = texts[counts[name] : counts[name] + 8]
            reference += texts[counts[name] + 8 : counts[name] + 14]
    return Corpus(train, test, reference)


def packages(seed: int) -> Corpus:
    """Eight packages with 10 or 18 documents each; all judge."""
    counts = {name: 10 + 8 * (i % 2) for i, name in enumerate(PACKAGES)}
    return split({name: modules_of(name) for name in PACKAGES}, counts, list(PACKAGES), seed)


def prose(seed: int) -> Corpus:
    """English by seven, one of code; one copies another, one is garbage; the honest ones judge."""
    pages = topics()
    third = len(pages) // 3
    documents = {
        "manual_a": pages[:third],
        "manual_b": pages[third : 2 * third],
        "manual_c": pages[2 * third :],
        "docs_asyncio": docstrings_of("asyncio"),
        "docs_email": docstrings_of("email"),
        "code": modules_of("json") + modules_of("http"),
    }
    corpus = split(documents, dict.fromkeys(documents, 13) | {"code": 9}, list(documents), seed)
    rng = random.Random(seed)  # noqa: S311
    train = {
        **corpus.train,
        "copy_of_manual_a": list(corpus.train["manual_a"]),
        "garbage": garbage(corpus.train["manual_b"][:4], rng),
    }
    return Corpus(dict(sorted(train.items())), corpus.test, corpus.reference)


GAMES = {"packages": packages, "prose": prose}


def tokenizer(texts: list[str], vocabulary: int) -> Tokenizer:
    """Byte-level BPE; token 0 stands between documents."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return made


def rows(made: Tokenizer, texts: list[str], context: int) -> Rows:
    """Windows of the documents."""
    x, y = windows([made.encode(text).ids for text in texts], context)
    return torch.from_numpy(x), torch.from_numpy(y)


RECIPE = {
    "architecture": "unshapley.models:gpt",
    "optimizer": "adamw",
    "schedule": "cosine",
    "warmup": 0.1,
    "learning_rate": 0.002,
    "weight_decay": 0.1,
    "batch_size": 16,
}


def game(
    name: str,
    seed: int,
    *,
    vocabulary: int = 384,
    context: int = 64,
    epochs: int = 12,
    steps: int | None = None,
    kwargs: Mapping[str, object] | None = None,
    architecture: str = "unshapley.models:gpt",
) -> Game:
    """A pretrained model of one of `GAMES` and the rows that it needs; steps: instead of epochs;
    kwargs: of the model.
    """
    corpus = GAMES[name](seed)
    made = tokenizer(corpus.reference, vocabulary)
    partitions = {n: rows(made, texts, context) for n, texts in corpus.train.items()}
    whole = epochs * -(-sum(len(y) for _, y in partitions.values()) // 16)
    own = {"architecture": architecture, "kwargs": dict(kwargs or {})}
    stated = {**RECIPE, **own, "steps": steps or whole, "seed": seed}
    recipe = PretrainSettings.model_validate(stated)
    reference = rows(made, corpus.reference, context)
    test = rows(made, [t for texts in corpus.test.values() for t in texts], context)
    pretrained = fit(recipe, partitions, reference, outputs=made.get_vocab_size())
    providers = tuple(partitions)
    return Game(providers, providers, pretrained, *test)


def sizes(of: Game) -> str:
    """Rows, tokens and weights of a game, in words."""
    counts = of.pretrained.counts.tolist()
    weights = sum(t.numel() for t in of.pretrained.trained.values())
    return f"{len(counts)} providers of {min(counts)}–{max(counts)} windows, {weights:,} weights"


def leave_out(n: int) -> np.ndarray:
    """All single providers, then all but one `(2n, n)`."""
    return np.vstack([np.eye(n, dtype=bool), ~np.eye(n, dtype=bool)])
