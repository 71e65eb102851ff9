"""How much memory a chunk takes, and how many coalitions therefore share one."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor
from torch.func import functional_call

from unshapley.config import ValuationSettings
from unshapley.errors import InputError
from unshapley.game.coalitions import Coalitions
from unshapley.game.game import Game
from unshapley.models.training import trainable
from unshapley.unlearning import Unlearner

PROBE = 17
"""Rows on which activations are counted; a prime, so that no width is taken for them."""
COPIES = 6
"""Tensors as large as the weights while training: weights, gradient, Adam's two, two for work."""
CHOOSING = 12
"""The same while a mask is chosen: slopes in float64, their order, and what sorting takes."""


def chunk_size(
    game: Game, unlearner: Unlearner, coalitions: Coalitions, params: ValuationSettings
) -> int:
    """Most coalitions of a plan `(m, n)` that share a chunk: at most `params.chunk_size`, and so
    few that a chunk stays below `params.memory_mb`.

    Raises `InputError` where not even one coalition does.
    """
    one = bytes_per_coalition(game, unlearner, coalitions)
    fit = int(params.memory_mb * 2**20 // one)
    if not fit:
        raise InputError(
            f"one coalition takes about {one / 2**20:.0f} MiB",
            where="valuation.memory_mb",
            expected=f"at least that much, it is {params.memory_mb}",
            do="raise it, or use newton with a smaller curvature.directions",
        )
    return min(params.chunk_size, fit)


def bytes_per_coalition(game: Game, unlearner: Unlearner, coalitions: Coalitions) -> int:
    """Estimate of what one coalition of a plan takes at most, in bytes.

    Counted, not measured: weights, rows and activations of training where the unlearner reads rows,
    a mask over the weights or the curvature matrix where it uses one, and the outputs on the test
    set.
    """
    pretrained = game.pretrained
    weights = sum(pretrained.trained[name].nbytes for name in trainable(pretrained.model))
    activations = activation_bytes(game)
    training = choosing = stored = 0
    total = weights + len(game.test_y) * (activations + 4 * 8 * max(1, len(game.classes)))
    if unlearner.reads_rows and len(coalitions):
        total_rows = int(pretrained.counts.sum())
        share = pretrained.share(game.staying(coalitions))
        touched = 1 - share if unlearner.retain_free else share
        rows = total_rows if unlearner.reads_all else round(float(touched.max()) * total_rows)
        if unlearner.retain_free:
            rows += len(pretrained.reference[1])
        row = game.test_x[0].nbytes + 3 * activations + 16  # saved, their slopes, one at work
        training = rows * row + (COPIES + unlearner.masks) * weights
        choosing = CHOOSING * weights if unlearner.masks else 0
    if unlearner.needs == "curvature" and pretrained.curvature is not None:
        stored = 3 * pretrained.curvature.hessian[0].nbytes
    return total + max(training, choosing, stored)  # one after the other, never both


def activation_bytes(game: Game) -> int:
    """Bytes that one row's forward pass leaves behind for the backward pass."""
    pretrained = game.pretrained
    model = deepcopy(pretrained.model)
    x = game.test_x[:PROBE]
    found: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        if tensor.dim() and tensor.shape[0] == len(x):
            found[tensor.data_ptr()] = tensor.nbytes
        return tensor

    theta = {
        n: t.detach().requires_grad_()
        for n, t in pretrained.trained.items()
        if n in trainable(model)
    }
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        functional_call(model, {**pretrained.trained, **theta}, (x,))
    return sum(found.values()) // len(x)
