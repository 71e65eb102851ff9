"""The curvature folder of a language model: statistics of text, tied to model, rows and test set.

data/curvature/
  curvature.json                  checkpoint, test set, and hash and rows of every provider
  basis.safetensors               eigenvectors of the layers, which belong to the model
  providers/<name>.safetensors    of one provider: gradient, squares, and counts of n-grams
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from unshapley.config import CurvatureSettings
from unshapley.curvature.kronecker import kronecker_basis, kronecker_statistics
from unshapley.curvature.ngrams import ngram_counts
from unshapley.curvature.store import (
    BASIS,
    RENEW,
    CurvatureRecord,
    check_checkpoint,
    files,
    load_provider,
    write_providers,
)
from unshapley.errors import InputError
from unshapley.files import sha256
from unshapley.models.batching import State
from unshapley.models.end_answers import EndAnswers
from unshapley.models.pretrained import KroneckerStatistics, Pretrained
from unshapley.models.rows import Rows
from unshapley.models.tensors import load_state, save_state
from unshapley.models.tokens import vocabulary_of
from unshapley.models.training import trainable
from unshapley.numerics import deterministic
from unshapley.progress import Advance, Progress, silent

NGRAMS = "ngrams"
PASSES = 2
"""Passes over a provider's rows: one for the basis, one for the statistics in it."""


@deterministic()
def write_text_statistics(
    folder: Path,
    model: nn.Module,
    trained: State,
    settings: CurvatureSettings,
    hashes: tuple[str, str],
    test: Rows,
    partitions: Mapping[str, tuple[Rows, str]],
    progress: Progress = silent,
) -> CurvatureRecord:
    """Write a new basis and the statistics of all `partitions` `{provider: (rows, hash)}`.

    hashes: of the pretrained weights and of the test set; progress: of passes over a provider's
    rows.
    """
    rows = [own for own, _ in partitions.values()]
    with progress(PASSES * len(rows)) as advance:
        basis = kronecker_basis(model, trained, rows, advance)
        save_state(basis, folder / BASIS)
        checkpoint, test_hash = hashes
        record = CurvatureRecord(
            checkpoint=checkpoint,
            settings=settings,
            parameters=trainable(model),
            basis=sha256(folder / BASIS),
            layer=None,
            providers={},
            test=test_hash,
        )
        record = add_text(folder, record, model, trained, basis, test, partitions, advance)
    recorded = files(folder, record)
    for path in folder.glob("**/*.safetensors"):
        if path not in recorded:
            path.unlink()
    return record


@deterministic()
def add_text(
    folder: Path,
    record: CurvatureRecord,
    model: nn.Module,
    trained: State,
    basis: State,
    test: Rows,
    partitions: Mapping[str, tuple[Rows, str]],
    advance: Advance = lambda _count: None,
) -> CurvatureRecord:
    """Write statistics of further providers in the recorded basis."""

    def statistics(rows: Rows) -> State:
        return _statistics(model, trained, basis, rows, test)

    return write_providers(folder, record, statistics, partitions, advance)


def load_text_statistics(
    folder: Path, checkpoint: str, test: str, partitions: Mapping[str, str]
) -> tuple[KroneckerStatistics, Tensor]:
    """Statistics of the providers of `partitions` `{provider: hash}`, in this order, and their
    counts of n-grams `(n, ORDERS, 2, test rows, positions)`.

    checkpoint, test: hashes of the weights and of the test set. Raises `InputError` if they belong
    to others, are missing, or differ from the recorded files.
    """
    record = CurvatureRecord.load(folder)
    check_checkpoint(folder, record, checkpoint)
    if record.test != test:
        raise InputError(
            "the statistics were counted for another test set",
            where=folder / "curvature.json",
            do="run `unshapley curvature`, or restore it with `dvc checkout`",
        )
    assert record.basis is not None
    states = [load_provider(folder, record, name, value) for name, value in partitions.items()]
    basis = load_state(folder / BASIS, record.basis, RENEW)
    return _joined(basis, states)


@deterministic()
def with_text_statistics(pretrained: Pretrained, partitions: Mapping[str, Rows]) -> Pretrained:
    """`pretrained`, which holds its test set, with the statistics of all partitions."""
    model, trained, test = pretrained.model, pretrained.trained, pretrained.test
    assert test is not None
    basis = kronecker_basis(model, trained, list(partitions.values()), lambda _count: None)
    states = [_statistics(model, trained, basis, rows, test) for rows in partitions.values()]
    kronecker, ngrams = _joined(basis, states)
    return holding(pretrained, kronecker, ngrams)


def holding(pretrained: Pretrained, kronecker: KroneckerStatistics, ngrams: Tensor) -> Pretrained:
    """`pretrained`, which holds its test set, with these statistics of text."""
    assert pretrained.test is not None
    ends = EndAnswers(pretrained.model, pretrained.initial, pretrained.trained, pretrained.test)
    return replace(pretrained, kronecker=kronecker, ngrams=ngrams, ends=ends)


def _statistics(model: nn.Module, trained: State, basis: State, rows: Rows, test: Rows) -> State:
    gradient, squares = kronecker_statistics(model, trained, basis, rows)
    vocabulary = vocabulary_of(model, test[0])
    return {
        **{f"gradient.{name}": tensor for name, tensor in gradient.items()},
        **{f"squares.{name}": tensor for name, tensor in squares.items()},
        NGRAMS: ngram_counts(rows, test, vocabulary),
    }


def _joined(basis: State, states: list[State]) -> tuple[KroneckerStatistics, Tensor]:
    stacked = {name: torch.stack([state[name] for state in states]) for name in states[0]}
    gradient, squares = (
        {n.removeprefix(kind): t for n, t in stacked.items() if n.startswith(kind)}
        for kind in ("gradient.", "squares.")
    )
    return KroneckerStatistics(basis, gradient, squares), stacked[NGRAMS]
