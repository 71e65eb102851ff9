"""What is kept of a language model's answers: two numbers a token, not all its logits."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from unshapley.data.windows import NONE, WRONG
from unshapley.models.batching import State, batched_outputs
from unshapley.models.losses import token_loss
from unshapley.models.training import rows_of_block


@torch.no_grad()
def token_scores(model: nn.Module, batch: State, shared: State, x: Tensor, y: Tensor) -> Tensor:
    """Of each token its log-probability in nats, and whether it was the most probable one
    `(models, rows, positions, 2)`; 0 where there is none.

    x, y: `(rows, positions)`; the rows go through the models in blocks, so that memory is bounded.
    """
    y = asked_tokens(y)
    one = {name: tensor[:1] for name, tensor in batch.items()}
    block = rows_of_block(model, {**{n: t[None] for n, t in shared.items()}, **one}, x[None])
    parts = []
    for begin in range(0, len(x), block):
        target = y[begin : begin + block]
        outputs = batched_outputs(model, batch, shared, x[begin : begin + block])
        hits = (outputs.argmax(dim=-1) == target) & (target != NONE)
        parts.append(torch.stack([-token_loss(outputs, target), hits.to(outputs.dtype)], dim=-1))
    return torch.cat(parts, dim=1)


def vocabulary_of(model: nn.Module, x: Tensor) -> int:
    """Number of tokens that a model of text knows; x: rows that it can read."""
    with torch.no_grad():
        return int(model(x[:1]).shape[-1])


def asked_tokens(y: Tensor) -> Tensor:
    """The token that each position is asked for, those of wrong options too; `NONE` elsewhere."""
    return torch.where(y <= WRONG, WRONG - y, y)


def tokens_of(y: Tensor) -> Tensor:
    """How many tokens each row is to predict `(rows,)`, float64; those of wrong options are not."""
    return (y >= 0).sum(dim=-1).double()


def log_probabilities(scores: Tensor, y: Tensor) -> Tensor:
    """Sum over the tokens of each row in nats `(models, rows)`, float64."""
    return (scores[..., 0].double() * (y >= 0)).sum(dim=-1)


def hits(scores: Tensor, y: Tensor) -> Tensor:
    """Tokens of each row that were the most probable ones `(models, rows)`, float64."""
    return (scores[..., 1].double() * (y >= 0)).sum(dim=-1)


def log_likelihood(scores: Tensor, y: Tensor) -> Tensor:
    """Mean log-probability of a token in nats `(models,)`; 0 is best."""
    return log_probabilities(scores, y).sum(dim=-1) / tokens_of(y).sum()


def token_accuracy(scores: Tensor, y: Tensor) -> Tensor:
    """Share of the tokens that were the most probable ones `(models,)`."""
    return hits(scores, y).sum(dim=-1) / tokens_of(y).sum()


def neg_bits(scores: Tensor, y: Tensor) -> Tensor:
    """Minus the bits that a byte of the test set takes, by any tokenizer `(models,)`; 0 is best.

    Here, where bytes are not known, that of a token; `build_utilities` counts by bytes.
    """
    return bits(scores, y).sum(dim=-1) / tokens_of(y).sum()


def bits(scores: Tensor, y: Tensor) -> Tensor:
    """Minus the bits that the tokens of each row take `(models, rows)`, float64."""
    return log_probabilities(scores, y) / math.log(2)
