"""Estimate the memory of a coalition of text: what a block of rows needs at most at a time.

Rows go through a language model block by block, and layers are freed as the backward pass goes
back, so that neither sums of activations nor copies of them tell the peak. It is counted on one
block, of the model that is valued.
"""

from __future__ import annotations

from copy import deepcopy

import torch

from unshapley.game.game import Game
from unshapley.models.batching import batch_of_one, batched_outputs
from unshapley.models.live_bytes import LiveBytes
from unshapley.models.losses import row_loss
from unshapley.models.tokens import asked_tokens, token_scores
from unshapley.models.training import rows_of_block, trainable
from unshapley.unlearning import Unlearner

TOKEN_BYTES = 4 * 2 * 8
"""Of a token's two scores: in double precision, resampled, and temporary."""


def evaluation_bytes(game: Game) -> int:
    """Of evaluating one model on the test set: of a block of it, and of the scores of all."""
    rows = min(_block(game), len(game.test_y))
    theta, model = _theta(game), deepcopy(game.pretrained.model)
    with LiveBytes() as live:
        token_scores(model, theta, {}, game.test_x[:rows], game.test_y[:rows])
    return int(live.peak) + game.test_y.numel() * TOKEN_BYTES


def training_bytes(game: Game, unlearner: Unlearner, rows: int) -> int:
    """Of the gradient of one model in a step on so many rows, the rows themselves included."""
    block = min(_block(game), rows, len(game.test_y))
    theta, model = _theta(game), deepcopy(game.pretrained.model)
    names = trainable(model)
    parameters = {name: theta[name].clone().requires_grad_() for name in names}
    shared = {name: t for name, t in game.pretrained.trained.items() if name not in names}
    x, y = game.test_x[None, :block], asked_tokens(game.test_y[None, :block])
    with LiveBytes() as live:
        loss = row_loss(batched_outputs(model, parameters, shared, x, 0), y).sum()
        loss.backward()  # type: ignore[no-untyped-call]
    of_row = 2 * game.test_x[0].nbytes + 16
    return int(live.peak) * (block if unlearner.in_blocks else rows) // block + rows * of_row


def _theta(game: Game) -> dict[str, torch.Tensor]:
    return batch_of_one(game.pretrained.trained)


def _block(game: Game) -> int:
    """Rows of text that go through a model at once."""
    return rows_of_block(game.pretrained.model, _theta(game), game.test_x[None])
