"""The best constant: a model that answers every row alike."""

from __future__ import annotations

import torch
from torch import Tensor

from unshapley.errors import InputError
from unshapley.game.game import Game
from unshapley.models.adapting import TwoLogits
from unshapley.models.batching import State, batch_of_one
from unshapley.models.layers import last_layer
from unshapley.models.pretrained import Pretrained
from unshapley.models.tokens import vocabulary_of

CONSTANT_WORDS = "the best constant: class shares of the training rows, or the mean of their label"


def constant_answer(game: Game) -> Tensor:
    """The outputs `(classes,)` that are best for all rows: logarithms of the classes' shares, or
    the mean of a numeric label in its own units.
    """
    if game.task == "regression":
        y = game.test_y.double() * game.label_scale + game.label_mean
        return y.mean().unsqueeze(0)
    outputs, _ = game.outputs(batch_of_one(game.pretrained.trained))
    counts = torch.bincount(game.test_y, minlength=outputs.shape[-1]).double()
    return ((counts + 0.5) / (counts + 0.5).sum()).log()


def constant_scores(game: Game, y: Tensor) -> Tensor:
    """What a model that knows the tokens' shares in the game's rows, and nothing of their order,
    answers on tokens y `(rows, positions)`, as `token_scores` gives it `(1, rows, positions, 2)`.
    """
    known = game.test_y[game.test_y >= 0].long()
    vocabulary = vocabulary_of(game.pretrained.model, game.test_x)
    counts = torch.bincount(known, minlength=vocabulary).double() + 0.5
    log_p = (counts / counts.sum()).log()
    present = (y >= 0).double()
    hits = (y == log_p.argmax()).double()
    return torch.stack([log_p[y.clamp(min=0).long()] * present, hits * present], dim=-1)[None]


def constant_state(pretrained: Pretrained) -> State:
    """New weights below a last layer that answers every row alike."""
    rows, outer = pretrained.rows, pretrained.model
    answer = constant_answer(Game((), (), pretrained, rows.x, rows.y))
    prefix, inner = "", outer
    if isinstance(outer, TwoLogits):
        prefix, inner, answer = "wrapped.", outer.wrapped, answer[1:] - answer[:1]
    layer = last_layer(inner, rows.x)
    if layer is None or f"{prefix}{layer}.bias" not in pretrained.initial:
        raise InputError(
            "the model does not end in a torch.nn.Linear with a bias, which alone can give a "
            "constant",
            where="--none",
            do="take new weights: --none fresh:0",
        )
    weight, bias = f"{prefix}{layer}.weight", f"{prefix}{layer}.bias"
    zero = torch.zeros_like(pretrained.initial[weight])
    return {**pretrained.initial, weight: zero, bias: answer.to(zero.dtype)}
