"""Whether training has reached an optimum, as far as the rows tell one from its surroundings."""

from __future__ import annotations

import math

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.func import functional_call

from unshapley.models.batching import State
from unshapley.models.losses import row_loss
from unshapley.models.pretrained import Pretrained
from unshapley.models.training import rows_of_block, trainable
from unshapley.numerics import deterministic

GROUPS = 50
"""Of rows, by which the noise of the gradient is estimated; its relative error is at most about
1 / √(2 · GROUPS), 10 %, and less where many weights have noise of their own."""


class Convergence(BaseModel):
    """The gradient at the trained weights, beside what other rows of the same kind would change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gradient: float
    """norm of the gradient of the mean training loss and its penalty"""
    noise: float
    """its standard deviation over draws of the rows: the root of the summed variances"""

    @property
    def ratio(self) -> float:
        """Gradient over noise: below 1, the rows do not tell the weights from an optimum."""
        if not self.noise:
            return math.inf if self.gradient else 0.0
        return self.gradient / self.noise

    def sentence(self) -> str:
        """In plain words."""
        times = f"the gradient of the training loss is {self.ratio:.2g} times its sampling noise"
        if self.ratio <= 1:
            return f"{times}: training ended at an optimum, as far as the rows can tell"
        return (
            f"{times}: training ended before an optimum, where unlearning errs more; take more "
            "steps, or compare with valuation.unlearner: retrain"
        )


@deterministic()
def convergence_of(pretrained: Pretrained) -> Convergence | None:
    """At the pretrained weights, without the noise of dropout; none for a single row.

    The noise is estimated from the gradients of `GROUPS` random groups of rows (Wolter,
    "Introduction to Variance Estimation", 2nd ed. 2007, chapter 2).
    """
    rows = len(pretrained.rows.y)
    if rows < 2:
        return None
    count = min(GROUPS, rows)
    groups = np.array_split(np.random.default_rng(0).permutation(rows), count)
    share = torch.tensor([len(group) / rows for group in groups], dtype=torch.float64)
    gradients = torch.stack([_gradient(pretrained, torch.from_numpy(group)) for group in groups])
    mean = share @ gradients
    spread = (gradients - mean).square().sum(dim=1)
    variance = float((share.square() * spread).sum()) * count / (count - 1)
    theta = torch.cat([t.flatten() for t in _trained(pretrained).values()]).double()
    slope = mean + pretrained.recipe.penalty * theta
    return Convergence(gradient=float(slope.norm()), noise=math.sqrt(variance))


def _gradient(pretrained: Pretrained, group: Tensor) -> Tensor:
    """Gradient of the mean loss of the rows `group` `(weights,)`, float64."""
    model, rows = pretrained.model, pretrained.rows
    theta = {name: t.clone().requires_grad_() for name, t in _trained(pretrained).items()}
    size = rows_of_block(model, {n: t[None] for n, t in pretrained.trained.items()}, rows.x[None])
    for part in torch.split(group, size):
        outputs = functional_call(model, {**pretrained.trained, **theta}, (rows.x[part],))
        loss = row_loss(outputs, rows.y[part]).sum() / len(group)
        loss.backward()  # type: ignore[no-untyped-call]
    found = [torch.zeros_like(t) if t.grad is None else t.grad for t in theta.values()]
    return torch.cat([gradient.flatten() for gradient in found]).double()


def _trained(pretrained: Pretrained) -> State:
    return {name: pretrained.trained[name] for name in trainable(pretrained.model)}
