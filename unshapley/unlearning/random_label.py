"""Fine-tuning with random labels on forgotten rows, restricted to the salient weights."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unshapley.models.batching import State, batched_outputs
from unshapley.models.losses import row_loss
from unshapley.models.pretrained import Pretrained
from unshapley.models.training import descend, stack, trainable
from unshapley.models.training_rows import TrainingRows
from unshapley.unlearning.ascent import shares
from unshapley.unlearning.base import Unlearner, reachable_rows, step_length


class RandomLabelUnlearner(Unlearner):
    """Fine-tune on retained rows, and on forgotten rows with random labels.

    minimise (1/|S|) Σ_S ℓ(θ; y) + α · (1/|F|) Σ_F ℓ(θ; y′) + ½ w ‖θ‖²

    over retained rows S and forgotten rows F, with y′ a random other class (for numeric labels the
    label of another row), and w the recipe's penalty. Only the share `saliency` of weights
    with the largest |∂ Σ_F ℓ / ∂θ| at the pretrained weights is trained; with 1 all are, which is
    the random labelling of Golatkar et al., "Eternal Sunshine of the Spotless Net" (CVPR 2020). Fan
    et al., "SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency" (ICLR 2024),
    section 4. A row's random label is the same in every coalition that forgets it. Reads retained
    and forgotten rows. Cost per coalition: `steps` steps on all rows.
    """

    name: ClassVar[str] = "random_label"
    of_text: ClassVar[bool | None] = False
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
        random_labels = other_labels(rows.y, self.seed)

        def objective(theta: State, shared: State) -> Tensor:
            outputs = batched_outputs(model, theta, shared, rows.x)
            relabelled = forgotten * row_loss(outputs, random_labels)
            return (kept * row_loss(outputs, rows.y) + self.alpha * relabelled).sum()

        return descend(
            model,
            stack(pretrained.trained, len(staying)),
            objective,
            steps=self.steps,
            learning_rate=self.learning_rate,
            weight_decay=recipe.penalty,
            length=step_length(pretrained, staying),
            mask=salient(pretrained, rows, ~staying, self.saliency) if self.masks else None,
        )


def other_labels(y: Tensor, seed: int) -> Tensor:
    """For every row a random other class, or for numbers the label of another row `(rows,)`."""
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
    """Masks `(m, …)`: 1 for the `share` of weights with the largest absolute gradient of the loss
    of `forgotten` providers `(m, n)`, 0 for others and for weights with a gradient of zero.
    """
    names = trainable(pretrained.model)
    saliency = torch.zeros(len(forgotten), sum(pretrained.trained[n].numel() for n in names))
    saliency = saliency.to(rows.x.device, torch.float64)
    # one provider at a time: a batch would keep the activations of n models in memory
    for i, is_forgotten in enumerate(forgotten.T):
        if is_forgotten.any():
            gradient = _gradient(pretrained, rows, rows.owner == i)
            saliency.addr_(is_forgotten.double(), gradient.double())
    saliency.abs_()
    order = saliency.argsort(dim=1, descending=True, stable=True)
    chosen = order[:, : max(1, round(share * saliency.shape[1]))]
    mask = torch.zeros_like(saliency, dtype=rows.x.dtype).scatter_(1, chosen, 1.0)
    mask.mul_(saliency > 0)
    parts = torch.split(mask, [pretrained.trained[n].numel() for n in names], dim=1)
    return {
        name: part.view(-1, *pretrained.trained[name].shape)
        for name, part in zip(names, parts, strict=True)
    }


def _gradient(pretrained: Pretrained, rows: TrainingRows, own: Tensor) -> Tensor:
    """Gradient at the pretrained weights of the summed loss of the rows `own` `(weights,)`."""
    model = pretrained.model
    start = stack({name: pretrained.trained[name] for name in trainable(model)}, 1)
    theta = {name: tensor.requires_grad_() for name, tensor in start.items()}
    shared = {name: t for name, t in pretrained.trained.items() if name not in theta}
    loss = row_loss(batched_outputs(model, theta, shared, rows.x[own]), rows.y[own]).sum()
    gradients = torch.autograd.grad(
        loss, list(theta.values()), allow_unused=True, materialize_grads=True
    )
    return torch.cat([gradient.flatten() for gradient in gradients])
