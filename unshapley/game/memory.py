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
from unshapley.game.text_memory import evaluation_bytes, training_bytes
from unshapley.models.chains import chain_of
from unshapley.models.training import trainable
from unshapley.unlearning import Unlearner

COPIES = 6
"""Tensors of the size of the weights in training: weights, gradient, 2 of Adam, 2 temporary; one
more where the best weights are kept."""
DIRECTIONS = 12
"""Copies of the weights that a natural-gradient step holds: three directions in single and double
precision, and their sum."""
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
    training = choosing = stored = evaluating = activations = 0
    total, text = weights, game.task == TEXT
    if text:
        evaluating = evaluation_bytes(game)
    else:
        activations = activation_bytes(game)
        total += len(game.test_y) * (activations + 4 * 8 * max(1, len(game.classes)))
    if unlearner.reads_rows and len(coalitions):
        rows = _rows_of_step(game, unlearner, coalitions)
        if text:
            training = training_bytes(game, unlearner, rows)
        else:
            held = _held(pretrained.model, unlearner) * activations
            training = rows * (game.test_x[0].nbytes + held + 16)
        copies = COPIES + unlearner.masks + (pretrained.recipe.patience is not None)
        training += copies * weights
        choosing = CHOOSING * weights if unlearner.masks else 0
    if unlearner.needs == "curvature" and pretrained.curvature is not None:
        stored = 3 * pretrained.curvature.hessian[0].nbytes
        if unlearner.holds_curvature:
            training += stored + DIRECTIONS * weights
    if unlearner.needs == "curvature" and pretrained.kronecker is not None:
        stored = COPIES * weights
    return total + max(training, choosing, stored, evaluating)  # these happen one after the other


def _rows_of_step(game: Game, unlearner: Unlearner, coalitions: Coalitions) -> int:
    """Most rows that a training step of one coalition of a plan reads."""
    pretrained = game.pretrained
    total = int(pretrained.counts.sum())
    share = pretrained.share(game.staying(coalitions))
    touched = 1 - share if unlearner.retain_free else share
    rows = total if unlearner.reads_all else round(float(touched.max()) * total)
    rows = unlearner.rows_of_step(pretrained, rows)
    return rows + len(pretrained.reference[1]) if unlearner.retain_free else rows


def _held(model: nn.Module, unlearner: Unlearner) -> int:
    """Copies of a row's activations in training: saved ones, gradients, temporary ones; chains of
    linear layers that minimise the training loss itself need few at a time.
    """
    other_loss = unlearner.retain_free or unlearner.reads_all or unlearner.holds_curvature
    return 3 if other_loss or chain_of(model) is None else 1


def activation_bytes(game: Game) -> int:
    """Bytes per row that the forward pass saves for the backward pass: the second row's."""
    one, two = (_saved_bytes(game, rows) for rows in (1, 2))
    return two - one


def _saved_bytes(game: Game, rows: int) -> int:
    """Bytes that the forward pass of so many rows saves for the backward pass, weights included."""
    pretrained = game.pretrained
    model = deepcopy(pretrained.model)
    saved: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        # the storage, not the tensor: its node would hold what holds its node, for ever
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage
        return torch.empty(0)

    theta = {
        name: tensor.detach().requires_grad_()
        for name, tensor in pretrained.trained.items()
        if name in trainable(model)
    }
    x = game.test_x[:rows].clone()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda nothing: nothing):
        functional_call(model, {**pretrained.trained, **theta}, (x,))
    return sum(storage.nbytes() for storage in saved.values())
