"""Shared code of the unlearners that increase the loss of forgotten rows: the stopping rule and
the divergence from the pretrained model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from unshapley.models.batches import padded
from unshapley.models.batching import State, batched_outputs
from unshapley.models.losses import is_text, row_loss
from unshapley.models.optimizers import adam
from unshapley.models.pretrained import Pretrained
from unshapley.models.training import stack, trainable
from unshapley.models.training_rows import TrainingRows
from unshapley.unlearning.base import Unlearner, reachable_rows

Ascent = Callable[[State, State], tuple[Tensor, Tensor]]
"""(trained tensors `(m, …)`, tensors shared by all models) → objective and forget loss `(m,)`"""


class AscentUnlearner(Unlearner):
    """Base of the unlearners that read forgotten rows only; they differ in `push`.

    Minimises for every model the mean of `push` over its forgotten rows plus `kl` times the mean
    divergence from the pretrained model on the reference set, until the mean loss of its forgotten
    rows reaches the held-out loss: the loss of the pretrained model on the reference set, which it
    was not trained on. A model that was never trained on the forgotten rows should have a similar
    loss on them. If the loss of a coalition's forgotten rows is above that from the start, as with
    mislabelled rows, the coalition keeps the pretrained model.
    """

    retain_free: ClassVar[bool] = True
    in_blocks: ClassVar[bool] = False
    steps: int = Field(50, ge=1, description="maximum number of Adam steps on the forgotten rows")
    learning_rate: float = Field(0.005, gt=0)
    kl: float = Field(1.0, ge=0, description="weight of the divergence from the pretrained model")

    def push(self, loss: Tensor, before: Tensor) -> Tensor:
        """The objective on each forgotten row `(m, rows)`.

        loss: of every row; before: the same at the pretrained weights.
        """
        raise NotImplementedError

    def anchors(self, pretrained: Pretrained) -> Tensor:
        """Rows on which the divergence from the pretrained model is measured."""
        return pretrained.reference[0]

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        model = pretrained.model
        rows = reachable_rows(pretrained, ~staying, self.name, "is forgotten")
        x, y, weights = padded(rows, ~staying)
        share = weights / weights.sum(dim=1, keepdim=True).clamp(min=1)
        anchors = self.anchors(pretrained)
        theta = stack(pretrained.trained, len(staying))
        shared = {n: t for n, t in pretrained.trained.items() if n not in trainable(model)}
        parameters = {n: t for n, t in theta.items() if n not in shared}
        with torch.no_grad():
            before = row_loss(batched_outputs(model, parameters, shared, x, 0), y)
            pretrained_outputs = batched_outputs(model, parameters, shared, anchors)

        def objective(theta: State, shared: State) -> tuple[Tensor, Tensor]:
            loss = row_loss(batched_outputs(model, theta, shared, x, 0), y)
            out = (share * self.push(loss, before)).sum(dim=1)
            if self.kl:
                outputs = batched_outputs(model, theta, shared, anchors)
                out = out + self.kl * divergence(pretrained_outputs, outputs, y).mean(dim=1)
            return out, (share * loss).sum(dim=1)

        return ascend(
            model,
            theta,
            objective,
            weights.any(dim=1),
            held_out_loss(pretrained),
            steps=self.steps,
            learning_rate=self.learning_rate,
        )


def ascend(
    model: nn.Module,
    start: State,
    objective: Ascent,
    moving: Tensor,
    ceiling: Tensor,
    *,
    steps: int,
    learning_rate: float,
) -> State:
    """Adam on an objective; each model stops when its forget loss reaches `ceiling`.

    The final weights of a model are interpolated between its last two steps, to where a linear
    interpolation of the loss equals the ceiling. Without that, rounding could decide whether a
    model makes one step more.

    start: `(m, …)`; moving: which models are trained at all `(m,)`. Returns parameters `(m, …)`.
    """
    names = trainable(model)
    theta = {n: start[n].detach().clone().requires_grad_() for n in names}
    shared = {n: start[n][0] for n in start if n not in theta}
    optimizer = adam(list(theta.values()), learning_rate)
    last, last_forget = start, torch.zeros_like(ceiling)
    for step in range(steps + 1):
        current = {n: t.detach().clone() for n, t in theta.items()}
        optimizer.zero_grad()
        loss, forget_loss = objective(theta, shared)
        forget = forget_loss.detach()
        crossed = moving & (forget >= ceiling)
        stopped = current
        if step and crossed.any():
            fraction = (ceiling - last_forget) / (forget - last_forget)
            fraction = torch.where(crossed, fraction, 1.0).clamp(0, 1)
            stopped = {n: _interpolate(last[n], t, fraction) for n, t in current.items()}
        moving = moving & ~crossed
        if step == steps or not moving.any():
            return stopped
        loss.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        # stopped models are reset, as Adam's momentum moves them even with zero gradients
        with torch.no_grad():
            for n, t in theta.items():
                t.copy_(torch.where(_broadcast(moving, t), t, stopped[n]))
        last, last_forget = current, forget
    raise AssertionError


def _broadcast(values: Tensor, tensor: Tensor) -> Tensor:
    """One value per model `(m,)`, shaped to broadcast over `tensor` `(m, …)`."""
    return values.view(-1, *[1] * (tensor.dim() - 1))


def _interpolate(a: Tensor, b: Tensor, fraction: Tensor) -> Tensor:
    """Tensors a + fraction · (b − a), exactly b where the fraction `(m,)` is 1."""
    weight = _broadcast(fraction, b).to(b.dtype)
    return torch.where(weight == 1, b, a + weight * (b - a))


def held_out_loss(pretrained: Pretrained) -> Tensor:
    """The pretrained model's mean loss on the reference set `()`."""
    x, y = pretrained.reference
    with torch.no_grad():
        theta = stack({n: pretrained.trained[n] for n in trainable(pretrained.model)}, 1)
        shared = {n: t for n, t in pretrained.trained.items() if n not in theta}
        return row_loss(batched_outputs(pretrained.model, theta, shared, x)[0], y).mean()


def divergence(before: Tensor, after: Tensor, y: Tensor) -> Tensor:
    """Divergence per row `(…, rows)` of outputs `after` from outputs `before` `(…, rows, classes)`.

    For class labels KL(before ‖ after) of the predicted probabilities, of text their mean over the
    positions, as in the loss; for numeric labels half the squared difference.
    """
    if y.is_floating_point():
        return 0.5 * (after - before).square().squeeze(-1)
    log_p, log_q = torch.log_softmax(before, dim=-1), torch.log_softmax(after, dim=-1)
    by_output = (log_p.exp() * (log_p - log_q)).sum(dim=-1)
    return by_output.mean(dim=-1) if is_text(y) else by_output


def capped(loss: Tensor, ceiling: Tensor) -> Tensor:
    """A smooth minimum of `loss` and `ceiling`, so that a loss above the ceiling has no gradient.

    The transition is about a twentieth of the ceiling wide. With a hard minimum, rounding could
    decide whether a step has a gradient.
    """
    bend = (0.05 * ceiling).clamp(min=1e-6)
    return ceiling - bend * nn.functional.softplus((ceiling - loss) / bend)


def shares(rows: TrainingRows, chosen: Tensor) -> Tensor:
    """Row weights `(m, rows)` for the mean over the rows of the providers `chosen` `(m, n)`; zero
    if none is chosen.
    """
    kind = rows.x.dtype if rows.x.is_floating_point() else torch.get_default_dtype()
    selected = chosen[:, rows.owner].to(kind)
    return selected / selected.sum(dim=1, keepdim=True).clamp(min=1)
