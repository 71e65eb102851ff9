"""Fine-tuning in which forgotten rows bear random labels, of the weights that they matter to."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unshapley.models.batching import State, batched_outputs
from unshapley.models.losses import row_loss
from unshapley.models.pretrained import Pretrained, TrainingRows
from unshapley.models.training import descend, stack, trainable
from unshapley.unlearning.ascent import shares
from unshapley.unlearning.base import Unlearner, reachable_rows


class RandomLabelUnlearner(Unlearner):
    """Forget by learning wrong answers to forgotten rows while training on the retained ones.

    minimise (1/|S|) Σ_S ℓ(θ; y) + α · (1/|F|) Σ_F ℓ(θ; y′) + ½ w ‖θ‖²

    over retained rows S and forgotten rows F, with y′ a random other class, or the label of another
    row where labels are numbers, and w the recipe's weight decay. Only weights move that are among
    the share `saliency` with the largest |∂ Σ_F ℓ / ∂θ| at the pretrained weights; with 1 all move,
    which is the random labelling of Golatkar et al., "Eternal Sunshine of the Spotless Net" (CVPR
    2020). Fan et al., "SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency"
    (ICLR 2024), section 4. A row's random label is the same in every coalition that forgets it.
    Touches retained and forgotten rows. Cost per coalition: `steps` steps on all rows.
    """

    name: ClassVar[str] = "random_label"
    retain_free: ClassVar[bool] = False
    reads_all: ClassVar[bool] = True
    steps: int = Field(15, ge=1, description="Adam steps on all rows")
    learning_rate: float = Field(0.02, gt=0)
    alpha: float = Field(0.03, ge=0, description="α, weight of the randomly labelled rows")
    saliency: float = Field(0.5, gt=0, le=1, description="share of the weights that may move")
    seed: int = Field(0, ge=0, description="seed of the random labels")

    @property
    def masks(self) -> bool:
        return self.saliency < 1

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        model, recipe = pretrained.model, pretrained.recipe
        rows = reachable_rows(pretrained, staying | ~staying, self.name, "takes part")
        kept, forgotten = shares(rows, staying), shares(rows, ~staying)
        other = other_labels(rows.y, self.seed)

        def objective(theta: State, shared: State) -> Tensor:
            outputs = batched_outputs(model, theta, shared, rows.x)
            wrong = forgotten * row_loss(outputs, other)
            return (kept * row_loss(outputs, rows.y) + self.alpha * wrong).sum()

        return descend(
            model,
            stack(pretrained.trained, len(staying)),
            objective,
            steps=self.steps,
            learning_rate=self.learning_rate,
            weight_decay=recipe.weight_decay,
            mask=salient(pretrained, rows, ~staying, self.saliency) if self.masks else None,
        )


def other_labels(y: Tensor, seed: int) -> Tensor:
    """For every row another class, or the label of another row `(rows,)`."""
    generator = torch.Generator().manual_seed(seed)
    if y.is_floating_point():
        order = torch.randperm(len(y), generator=generator).to(y.device)
        other = torch.empty_like(y)
        other[order] = y[order.roll(1)]
        return other
    classes = int(y.max()) + 1
    if classes == 1:
        return y
    shift = 1 + torch.randint(classes - 1, y.shape, generator=generator).to(y.device)
    return (y + shift) % classes


def salient(pretrained: Pretrained, rows: TrainingRows, forgotten: Tensor, share: float) -> State:
    """1 for the `share` of weights that the loss of the `forgotten` `(m, n)` depends on most, 0 for
    others and for those on which it does not depend at all `(m, …)`.
    """
    names = trainable(pretrained.model)
    size = torch.zeros(len(forgotten), sum(pretrained.trained[n].numel() for n in names))
    size = size.to(rows.x.device, torch.float64)
    # one provider after the other: together they would hold the activations of n models
    for i, goes in enumerate(forgotten.T):
        if goes.any():
            size.addr_(goes.double(), _slope(pretrained, rows, rows.owner == i).double())
    size.abs_()
    order = size.argsort(dim=1, descending=True, stable=True)
    chosen = order[:, : max(1, round(share * size.shape[1]))]
    mask = torch.zeros_like(size, dtype=rows.x.dtype).scatter_(1, chosen, 1.0).mul_(size > 0)
    parts = torch.split(mask, [pretrained.trained[n].numel() for n in names], dim=1)
    return {
        name: part.view(-1, *pretrained.trained[name].shape)
        for name, part in zip(names, parts, strict=True)
    }


def _slope(pretrained: Pretrained, rows: TrainingRows, own: Tensor) -> Tensor:
    """Slope of the summed loss of a provider's `own` rows, pretrained `(weights,)`."""
    model = pretrained.model
    start = stack({name: pretrained.trained[name] for name in trainable(model)}, 1)
    theta = {name: tensor.requires_grad_() for name, tensor in start.items()}
    shared = {name: t for name, t in pretrained.trained.items() if name not in theta}
    loss = row_loss(batched_outputs(model, theta, shared, rows.x[own]), rows.y[own]).sum()
    slopes = torch.autograd.grad(
        loss, list(theta.values()), allow_unused=True, materialize_grads=True
    )
    return torch.cat([slope.flatten() for slope in slopes])
