"""Estimate the memory of a coalition of text: what a block of rows needs at most at a time.

Rows go through a language model block by block, and layers are freed as the backward pass goes
back, so that neither sums of activations nor copies of them tell the peak. It is counted on one
block, of the model that is valued.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from weakref import WeakKeyDictionary

import torch
from torch import nn

from unshapley.game.game import Game
from unshapley.models.batching import batch_of_one, batched_outputs
from unshapley.models.live_bytes import LiveBytes
from unshapley.models.losses import row_loss
from unshapley.models.tokens import asked_tokens, token_scores
from unshapley.models.training import rows_of_block, trainable
from unshapley.unlearning import Unlearner

TOKEN_BYTES = 4 * 2 * 8
"""Of a token's two scores: in double precision, resampled, and temporary."""

_PEAKS: WeakKeyDictionary[nn.Module, dict[tuple[str, int, int], int]] = WeakKeyDictionary()
"""By model; by count, rows and tokens of a row: of a large model it takes seconds, and it is asked
for before each series of chunks."""


def evaluation_bytes(game: Game) -> int:
    """Of evaluating one model on the test set: of a block of it, and of the scores of all."""
    rows = min(_block(game), len(game.test_y))
    return _once(_evaluating, game, rows) + game.test_y.numel() * TOKEN_BYTES


def training_bytes(game: Game, unlearner: Unlearner, rows: int) -> int:
    """Of the gradient of one model in a step on so many rows, the rows themselves included."""
    block = min(_block(game), rows, len(game.test_y))
    of_row = 2 * game.test_x[0].nbytes + 16
    peak = _once(_training, game, block)
    return peak * (block if unlearner.in_blocks else rows) // block + rows * of_row


def _once(count: Callable[[Game, int], int], game: Game, rows: int) -> int:
    """What `count` gives for so many rows."""
    known = _PEAKS.setdefault(game.pretrained.model, {})
    key = count.__name__, rows, game.test_x.shape[1]
    if key not in known:
        known[key] = count(game, rows)
    return known[key]


def _evaluating(game: Game, rows: int) -> int:
    """Most bytes at a time while one model answers on a block of rows."""
    theta, model = _theta(game), deepcopy(game.pretrained.model)
    with LiveBytes() as live:
        token_scores(model, theta, {}, game.test_x[:rows], game.test_y[:rows])
    return int(live.peak)


def _training(game: Game, rows: int) -> int:
    """Most bytes at a time while the gradient of one model on a block of rows is found."""
    theta, model = _theta(game), deepcopy(game.pretrained.model)
    names = trainable(model)
    parameters = {name: theta[name].clone().requires_grad_() for name in names}
    shared = {name: t for name, t in game.pretrained.trained.items() if name not in names}
    x, y = game.test_x[None, :rows], asked_tokens(game.test_y[None, :rows])
    with LiveBytes() as live:
        loss = row_loss(batched_outputs(model, parameters, shared, x, 0), y).sum()
        loss.backward()  # type: ignore[no-untyped-call]
    return int(live.peak)


def _theta(game: Game) -> dict[str, torch.Tensor]:
    return batch_of_one(game.pretrained.trained)


def _block(game: Game) -> int:
    """Rows of text that go through a model at once."""
    return rows_of_block(game.pretrained.model, _theta(game), game.test_x[None])
