"""Estimate the memory of a coalition, and from it the number of coalitions in a chunk."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.func import functional_call

from unshapley.config import ValuationSettings
from unshapley.data.tables import TEXT
from unshapley.errors import InputError
from unshapley.game.coalitions import Coalitions
from unshapley.game.game import Game
from unshapley.models.chains import chain_of
from unshapley.models.training import rows_of_block, trainable
from unshapley.unlearning import Unlearner

PROBE = 17
"""Number of rows for counting activations; a prime, so that it differs from layer widths."""
COPIES = 6
"""Tensors of the size of the weights in training: weights, gradient, 2 of Adam, 2 temporary; one
more where the best weights are kept."""
DIRECTIONS = 12
"""Copies of the weights that a natural-gradient step holds: three directions in single and double
precision, and their sum."""
TOKEN_BYTES = 4 * 2 * 8
"""Of a token's two scores: in double precision, resampled, and temporary."""
LOGITS = 4
"""Copies of a row's logits: with their softmax, gradient and most probable token."""
CHOOSING = 12
"""The same while a mask is chosen: gradients in float64, their order, memory for sorting."""


def chunk_size(
    game: Game, unlearner: Unlearner, coalitions: Coalitions, params: ValuationSettings
) -> int:
    """Most coalitions of a plan `(m, n)` in a chunk: at most `params.chunk_size`, and so few that
    a chunk needs less than `params.memory_mb`.

    Raises `InputError` if a single coalition needs more.
    """
    coalition_bytes = bytes_per_coalition(game, unlearner, coalitions)
    fitting = int(params.memory_mb * 2**20 // coalition_bytes)
    if not fitting:
        raise InputError(
            f"one coalition takes about {coalition_bytes / 2**20:.0f} MiB",
            where="valuation.memory_mb",
            expected=f"at least that much, it is {params.memory_mb}",
            do="raise it, or "
            + (
                "lower pretrain.batch_size or prepare.documents.context"
                if game.task == TEXT
                else "use newton with a smaller curvature.directions"
            ),
        )
    return min(params.chunk_size, fitting)


def bytes_per_coalition(game: Game, unlearner: Unlearner, coalitions: Coalitions) -> int:
    """Estimate of the most memory that one coalition of a plan needs, in bytes.

    Counted, not measured: weights; rows and activations of training if the unlearner reads rows; a
    mask over the weights or the curvature matrix if it uses one; outputs on the test set.
    """
    pretrained = game.pretrained
    weights = sum(pretrained.trained[name].nbytes for name in trainable(pretrained.model))
    activations, at_once = activation_bytes(game), 0
    training = choosing = stored = 0
    tested, kept = len(game.test_y), 4 * 8 * max(1, len(game.classes))
    if game.task == TEXT:  # rows go through the model block by block, and two numbers a token stay
        kept = TOKEN_BYTES * game.test_y.shape[1]
        at_once = _block(game)
        activations += LOGITS * _logit_bytes(game)
        total = weights + min(tested, at_once) * activations + tested * kept
    else:
        total = weights + tested * (activations + kept)
    if unlearner.reads_rows and len(coalitions):
        total_rows = int(pretrained.counts.sum())
        share = pretrained.share(game.staying(coalitions))
        touched = 1 - share if unlearner.retain_free else share
        rows = total_rows if unlearner.reads_all else round(float(touched.max()) * total_rows)
        rows = unlearner.rows_of_step(pretrained, rows)
        if unlearner.retain_free:
            rows += len(pretrained.reference[1])
        held = _held(pretrained.model, unlearner) * activations
        row = game.test_x[0].nbytes + held + 16
        if game.task == TEXT and rows > at_once:
            row = game.test_x[0].nbytes + held * at_once // rows + 16
        copies = COPIES + unlearner.masks + (pretrained.recipe.patience is not None)
        training = rows * row + copies * weights
        choosing = CHOOSING * weights if unlearner.masks else 0
    if unlearner.needs == "curvature" and pretrained.curvature is not None:
        stored = 3 * pretrained.curvature.hessian[0].nbytes
        if unlearner.holds_curvature:
            training += stored + DIRECTIONS * weights
    return total + max(training, choosing, stored)  # these happen one after the other


def _held(model: nn.Module, unlearner: Unlearner) -> int:
    """Copies of a row's activations in training: saved ones, gradients, temporary ones; chains of
    linear layers that minimise the training loss itself need few at a time.
    """
    other_loss = unlearner.retain_free or unlearner.reads_all or unlearner.holds_curvature
    return 3 if other_loss or chain_of(model) is None else 1


def _block(game: Game) -> int:
    """Rows of text that go through a model at once."""
    state = {name: tensor[None] for name, tensor in game.pretrained.trained.items()}
    return rows_of_block(game.pretrained.model, state, game.test_x[None])


def _logit_bytes(game: Game) -> int:
    """Bytes of the logits of a row of text."""
    with torch.no_grad():
        return int(game.pretrained.model(game.test_x[:1]).nbytes)


def activation_bytes(game: Game) -> int:
    """Bytes per row that the forward pass saves for the backward pass."""
    pretrained = game.pretrained
    model = deepcopy(pretrained.model)
    x = game.test_x[:PROBE]
    saved: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        if tensor.dim() and tensor.shape[0] == len(x):
            saved[tensor.data_ptr()] = tensor.nbytes
        return tensor

    theta = {
        name: tensor.detach().requires_grad_()
        for name, tensor in pretrained.trained.items()
        if name in trainable(model)
    }
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        functional_call(model, {**pretrained.trained, **theta}, (x,))
    return sum(saved.values()) // len(x)
