"""Least squares of the last layer on frozen features, from stored moments."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from scipy.optimize import minimize_scalar
from torch import Tensor

from unshapley.errors import InputError
from unshapley.models.batching import State
from unshapley.models.layers import output_layer
from unshapley.models.losses import row_loss
from unshapley.models.pretrained import HeadFeatures, Pretrained
from unshapley.unlearning.base import Unlearner

SCALES = (math.log(0.05), math.log(500))
"""Where the scale from scores to logits is sought, as logarithms."""
SCALE_RIDGE = 0.01
"""Ridge per row of the scores that the scale is fitted to: a larger one would shrink them, and the
scale make up for it."""


class RidgeHeadUnlearner(Unlearner):
    """Forget by solving the last layer anew on the features of the pretrained model.

    W_S = argmin Σ_S ½ ‖W h − t‖² + ½ λ n_S ‖W − A‖²,   outputs s · W_S h

    over the n_S retained rows, with h the inputs of the last layer and 1 for its bias, and t the
    label or, where it is a class, one-hot. The anchor A = V + (Σ (V h − t) hᵀ) / (λ n), summed over
    the n rows of everybody, is the one for which forgetting nobody gives V = W_pretrained / s, the
    pretrained layer. For numbers s = 1: ridge regression, exact retraining of the layer where it
    was trained to the end and λ is its weight decay (then A = 0). Least squares to one-hot labels
    gives scores like probabilities; s makes logits of them: the scale for which the scores of least
    squares over everybody have the least log-loss on the reference set.

    Unlearning by sums that rows are taken out of is that of Cao and Yang, "Towards Making Systems
    Forget with Machine Unlearning" (IEEE S&P 2015), where it is called the summation form.
    Retain-free: touches no rows but those of the reference set. Cost per coalition: one Cholesky
    factor of a matrix as wide as the layer, whatever the rows.
    """

    name: ClassVar[str] = "ridge_head"
    retain_free: ClassVar[bool] = True
    needs: ClassVar[str | None] = "features"
    reads_rows: ClassVar[bool] = False
    ridge: float | None = Field(
        None,
        gt=0,
        description="λ, pull to the anchor, per row; none: 0.3 for classes, for numbers the "
        "recipe's weight decay",
    )

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        features = pretrained.features
        if features is None:
            raise InputError(
                f"{self.name} needs the feature moments of the model, and there are none",
                where="data/curvature",
                expected="a model that ends in a torch.nn.Linear, and its statistics",
                do="run `unshapley curvature`, or use another unlearner, such as finetune",
            )
        stays, counts = staying.double(), pretrained.counts.double()
        # one row's worth of pull where nothing is retained gives the anchor, the limit
        rows, total = (stays @ counts).clamp(min=1), counts.sum()
        gram, moment = features.gram.sum(dim=0), features.moment.sum(dim=0)
        ridge = self.ridge or default_ridge(pretrained)
        scale = logit_scale(pretrained, features)
        head = head_weights(pretrained, features) / scale
        residual = (gram @ head - moment) / total
        grams = (stays @ features.gram.flatten(1)).view(-1, *gram.shape)
        moments = (stays @ features.moment.flatten(1)).view(-1, *moment.shape)
        slope = grams @ head - moments - rows.view(-1, 1, 1) * residual
        moved = head - ridge_solve(grams, slope, ridge * rows)
        return as_layer(pretrained, features, scale * moved)


def default_ridge(pretrained: Pretrained) -> float:
    """Least squares is the loss itself for numbers, whose ridge is weight decay. For classes it is
    another loss than the layer was trained with, and is trusted less far from the layer.
    """
    if pretrained.reference[1].is_floating_point():
        return max(pretrained.recipe.weight_decay, 1e-6)
    return 0.3


def logit_scale(pretrained: Pretrained, features: HeadFeatures) -> float:
    """From scores to logits: for least log-loss of everybody's scores on the reference set."""
    x, y = pretrained.reference
    if y.is_floating_point():
        return 1.0
    pull = SCALE_RIDGE * pretrained.counts.double().sum()
    everybody = ridge_solve(
        features.gram.sum(dim=0, keepdim=True),
        features.moment.sum(dim=0, keepdim=True),
        pull.view(1),
    )[0]
    scores = with_bias(output_layer(pretrained.model, x)[1].double(), features) @ everybody

    def loss(log_scale: float) -> float:
        return float(row_loss(math.exp(log_scale) * scores, y).mean())

    return math.exp(minimize_scalar(loss, bounds=SCALES, method="bounded").x)


def ridge_solve(grams: Tensor, moments: Tensor, pull: Tensor) -> Tensor:
    """(gram + pull · I)⁻¹ moment `(m, width, classes)`, NaN where the matrix is singular."""
    matrix = grams.clone()
    matrix.diagonal(dim1=1, dim2=2).add_(pull.unsqueeze(1))
    # batched torch.linalg.solve fails in MKL for such batches; this is positive definite anyway
    factor, failed = torch.linalg.cholesky_ex(matrix)
    found = torch.cholesky_solve(moments, factor)
    found[failed != 0] = float("nan")
    return found


def with_bias(h: Tensor, features: HeadFeatures) -> Tensor:
    """Inputs of the layer `(rows, width)`, with a one at the end where it has a bias."""
    if h.shape[1] == features.gram.shape[-1]:
        return h
    return torch.cat([h, torch.ones_like(h[:, :1])], dim=1)


def head_weights(pretrained: Pretrained, features: HeadFeatures) -> Tensor:
    """Pretrained weights of the layer, the bias as its last row `(width, classes)`, float64."""
    weight = pretrained.trained[f"{features.layer}.weight"].double().T
    bias = pretrained.trained.get(f"{features.layer}.bias")
    return weight if bias is None else torch.cat([weight, bias.double().unsqueeze(0)])


def as_layer(pretrained: Pretrained, features: HeadFeatures, weights: Tensor) -> State:
    """Tensors of the layer from `(m, width, classes)`."""
    name = f"{features.layer}.weight"
    like = pretrained.trained[name]
    inputs = like.shape[1]
    state = {name: weights[:, :inputs].transpose(1, 2).contiguous().to(like.dtype)}
    if weights.shape[1] > inputs:
        state[f"{features.layer}.bias"] = weights[:, inputs].to(like.dtype)
    return state
