"""Utilities: performance of a batch of models on the test set, always "higher is better"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from unshapley.training import cross_entropy

Utility = Callable[[Tensor, Tensor], Tensor]
"""(logits `(models, rows, classes)`, labels `(rows,)`) → utility of every model `(models,)`."""


def accuracy(logits: Tensor, y: Tensor) -> Tensor:
    """Share of test rows whose most probable class is the right one, 0 to 1."""
    return (logits.argmax(dim=-1) == y).double().mean(dim=-1)


def neg_log_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Minus the mean cross-entropy of the test rows, in nats; 0 is best."""
    return -cross_entropy(logits.double(), y).mean(dim=-1)


UTILITIES: Mapping[str, Utility] = {"accuracy": accuracy, "neg_log_loss": neg_log_loss}
UNITS: Mapping[str, str] = {
    "accuracy": "share of test rows, 0 to 1",
    "neg_log_loss": "nats a test row, negated",
}


def evaluate(names: Sequence[str], logits: Tensor, y: Tensor) -> dict[str, list[float]]:
    """All named utilities of a batch of models from one pass, each `(models,)`.

    A model whose logits are not finite gets NaN, never a score.
    """
    broken = ~torch.isfinite(logits).flatten(1).all(dim=1)
    scores = {name: UTILITIES[name](logits, y) for name in names}
    return {n: s.masked_fill(broken, float("nan")).tolist() for n, s in scores.items()}
