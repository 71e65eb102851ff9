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
"""Search interval of the logarithm of the scale from scores to logits."""
SCALE_RIDGE = 0.01
"""Ridge per row of the scores that the scale is fitted to. A larger ridge would shrink the scores,
and the scale would compensate for it."""


class RidgeHeadUnlearner(Unlearner):
    """Refit the last layer by ridge regression on the features of the pretrained model.

    W_S = argmin Σ_S ½ ‖W h − t‖² + ½ λ n_S ‖W − A‖²,   outputs s · W_S h

    over the n_S retained rows, with h the inputs of the last layer and a 1 for its bias, and t the
    label, one-hot where it is a class. The anchor A = V + (Σ (V h − t) hᵀ) / (λ n), summed over all
    n rows, is such that forgetting no provider gives V = W_pretrained / s, the pretrained layer.
    For numeric labels s = 1: ridge regression, which is exact retraining of the layer if it was
    trained to convergence and λ is its weight decay (then A = 0). For classes, s turns the scores
    of least squares on one-hot labels into logits: it minimises the log-loss on the reference set
    of the least-squares scores of all rows.

    Unlearning by removing rows from sums is the summation form of Cao and Yang, "Towards Making
    Systems Forget with Machine Unlearning" (IEEE S&P 2015). Retain-free: reads no rows but those of
    the reference set. Cost per coalition: one Cholesky factor of a matrix as wide as the layer, for
    any number of rows.
    """

    name: ClassVar[str] = "ridge_head"
    of_text: ClassVar[bool | None] = False
    retain_free: ClassVar[bool] = True
    needs: ClassVar[str | None] = "features"
    reads_rows: ClassVar[bool] = False
    ridge: float | None = Field(
        None,
        gt=0,
        description="λ, pull to the anchor, per row; none: 0.3 for classes, the recipe's weight "
        "decay for numbers",
    )

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        features = pretrained.features
        if features is None:
            raise InputError(
                f"{self.name} needs feature moments of a model that ends in a torch.nn.Linear with "
                "an output a class, and none were loaded",
                where="valuation.unlearner",
                do="load the game with needs='features'",
            )
        stays, counts = staying.double(), pretrained.counts.double()
        # an empty coalition counts as one row, which gives the anchor
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
    """λ: for numeric labels the weight decay, as the layer was trained with the same loss. For
    classes the loss is another, and a stronger ridge keeps the layer near the pretrained one.
    """
    if pretrained.reference[1].is_floating_point():
        return max(pretrained.recipe.penalty, 1e-6)
    return 0.3


def logit_scale(pretrained: Pretrained, features: HeadFeatures) -> float:
    """The scale s of `RidgeHeadUnlearner`: minimises the log-loss on the reference set."""
    x, y = pretrained.reference
    if y.is_floating_point():
        return 1.0
    pull = SCALE_RIDGE * pretrained.counts.double().sum()
    full_head = ridge_solve(
        features.gram.sum(dim=0, keepdim=True),
        features.moment.sum(dim=0, keepdim=True),
        pull.view(1),
    )[0]
    scores = with_bias(output_layer(pretrained.model, x)[1].double(), features) @ full_head

    def loss(log_scale: float) -> float:
        return float(row_loss(math.exp(log_scale) * scores, y).mean())

    return math.exp(minimize_scalar(loss, bounds=SCALES, method="bounded").x)


def ridge_solve(grams: Tensor, moments: Tensor, pull: Tensor) -> Tensor:
    """(gram + pull · I)⁻¹ moment `(m, width, classes)`, NaN where the matrix is singular."""
    matrix = grams.clone()
    matrix.diagonal(dim1=1, dim2=2).add_(pull.unsqueeze(1))
    # batched torch.linalg.solve fails in MKL here; the matrices are positive definite anyway
    factor, failed = torch.linalg.cholesky_ex(matrix)
    solution = torch.cholesky_solve(moments, factor)
    solution[failed != 0] = float("nan")
    return solution


def with_bias(h: Tensor, features: HeadFeatures) -> Tensor:
    """Inputs of the layer `(rows, width)`, with a last column of ones if it has a bias."""
    if h.shape[1] == features.gram.shape[-1]:
        return h
    return torch.cat([h, torch.ones_like(h[:, :1])], dim=1)


def head_weights(pretrained: Pretrained, features: HeadFeatures) -> Tensor:
    """Pretrained weights of the layer, the bias as its last row `(width, classes)`, float64."""
    weight = pretrained.trained[f"{features.layer}.weight"].double().T
    bias = pretrained.trained.get(f"{features.layer}.bias")
    return weight if bias is None else torch.cat([weight, bias.double().unsqueeze(0)])


def as_layer(pretrained: Pretrained, features: HeadFeatures, weights: Tensor) -> State:
    """Weight and bias tensors of the layer from `weights` `(m, width, classes)`."""
    name = f"{features.layer}.weight"
    pretrained_weight = pretrained.trained[name]
    inputs = pretrained_weight.shape[1]
    state = {name: weights[:, :inputs].transpose(1, 2).contiguous().to(pretrained_weight.dtype)}
    if weights.shape[1] > inputs:
        state[f"{features.layer}.bias"] = weights[:, inputs].to(pretrained_weight.dtype)
    return state
