"""What unlearners share that drive the loss of forgotten rows up: where they stop, and what holds
them back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from unshapley.models.batching import State, batched_outputs
from unshapley.models.losses import row_loss
from unshapley.models.pretrained import Pretrained, TrainingRows
from unshapley.models.training import stack, trainable
from unshapley.unlearning.base import Unlearner, padded, reachable_rows

Ascent = Callable[[State, State], tuple[Tensor, Tensor]]
"""(trained tensors `(m, …)`, what they share) → objective `(m,)` and forget loss `(m,)`"""


class AscentUnlearner(Unlearner):
    """Base of the unlearners that see only forgotten rows: a file each, differing in `push`.

    Minimises for every model the mean of `push` over its forgotten rows plus `kl` times the mean
    divergence from the pretrained model on the reference set, until the mean loss of its forgotten
    rows reaches the held-out loss: that of the pretrained model on rows it has never seen, which is
    where a model stands that never saw the forgotten rows either. A coalition whose forgotten rows
    are above that from the start, as mislabelled rows may be, keeps the pretrained model.
    """

    retain_free: ClassVar[bool] = True
    steps: int = Field(50, ge=1, description="most Adam steps on the forgotten rows")
    learning_rate: float = Field(0.005, gt=0)
    kl: float = Field(1.0, ge=0, description="weight of the divergence from the pretrained model")

    def push(self, loss: Tensor, before: Tensor) -> Tensor:
        """What is minimised on forgotten rows `(m, rows)`.

        loss: of every row; before: the same at the pretrained weights.
        """
        raise NotImplementedError

    def anchors(self, pretrained: Pretrained) -> Tensor:
        """Rows on which the outputs are held to those of the pretrained model."""
        return pretrained.reference[0]

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        model = pretrained.model
        rows = reachable_rows(pretrained, ~staying, self.name, "is forgotten")
        x, y, weights = padded(rows, ~staying)
        share = weights / weights.sum(dim=1, keepdim=True).clamp(min=1)
        anchors = self.anchors(pretrained)
        theta = stack(pretrained.trained, len(staying))
        shared = {n: t for n, t in pretrained.trained.items() if n not in trainable(model)}
        moved = {n: t for n, t in theta.items() if n not in shared}
        with torch.no_grad():
            before = row_loss(batched_outputs(model, moved, shared, x, 0), y)
            held = batched_outputs(model, moved, shared, anchors)

        def objective(theta: State, shared: State) -> tuple[Tensor, Tensor]:
            loss = row_loss(batched_outputs(model, theta, shared, x, 0), y)
            out = (share * self.push(loss, before)).sum(dim=1)
            if self.kl:
                after = batched_outputs(model, theta, shared, anchors)
                out = out + self.kl * divergence(held, after, y).mean(dim=1)
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
    """Adam on an objective, each model until its forget loss reaches `ceiling`.

    A model that has passed the ceiling is set back between its last two weights to where the loss,
    drawn as a straight line, reaches it, and rests there. Without setting back, rounding would
    decide on which side of a step it stops.

    start: `(m, …)`; moving: which models move at all `(m,)`. Gives the parameters `(m, …)`.
    """
    names = trainable(model)
    theta = {n: start[n].detach().clone().requires_grad_() for n in names}
    shared = {n: start[n][0] for n in start if n not in theta}
    optimizer = torch.optim.Adam(list(theta.values()), lr=learning_rate)
    last, reached = start, torch.zeros_like(ceiling)
    for step in range(steps + 1):
        here = {n: t.detach().clone() for n, t in theta.items()}
        optimizer.zero_grad()
        loss, forget = objective(theta, shared)
        level = forget.detach()
        crossed = moving & (level >= ceiling)
        rest = here
        if step and crossed.any():
            part = torch.where(crossed, (ceiling - reached) / (level - reached), 1.0).clamp(0, 1)
            rest = {n: _between(last[n], t, part) for n, t in here.items()}
        moving = moving & ~crossed
        if step == steps or not moving.any():
            return rest
        loss.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        # a gradient of zero would not stop Adam, which goes on by its momentum
        with torch.no_grad():
            for n, t in theta.items():
                t.copy_(torch.where(_along(moving, t), t, rest[n]))
        last, reached = here, level
    raise AssertionError


def _along(values: Tensor, tensor: Tensor) -> Tensor:
    """One value a model `(m,)`, to go with a tensor `(m, …)`."""
    return values.view(-1, *[1] * (tensor.dim() - 1))


def _between(a: Tensor, b: Tensor, part: Tensor) -> Tensor:
    """`part` `(m,)` of the way from a to b, and exactly b at its end."""
    way = _along(part, b).to(b.dtype)
    return torch.where(way == 1, b, a + way * (b - a))


def held_out_loss(pretrained: Pretrained) -> Tensor:
    """The pretrained model's mean loss on the reference set `()`."""
    x, y = pretrained.reference
    with torch.no_grad():
        one = stack({n: pretrained.trained[n] for n in trainable(pretrained.model)}, 1)
        shared = {n: t for n, t in pretrained.trained.items() if n not in one}
        return row_loss(batched_outputs(pretrained.model, one, shared, x)[0], y).mean()


def divergence(before: Tensor, after: Tensor, y: Tensor) -> Tensor:
    """Of outputs `after` from outputs `before` `(…, rows, classes)`, a row `(…, rows)`.

    Labels decide as in `unshapley.losses`: KL(before ‖ after) of the probabilities of classes, half
    the squared difference of numbers.
    """
    if y.is_floating_point():
        return 0.5 * (after - before).square().squeeze(-1)
    log_p, log_q = torch.log_softmax(before, dim=-1), torch.log_softmax(after, dim=-1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)


def capped(loss: Tensor, ceiling: Tensor) -> Tensor:
    """`loss` that levels off at `ceiling`, so that nothing is gained by pushing it higher.

    Smoothly, over a twentieth of the ceiling: at a sharp bend rounding would decide whether a step
    pushes.
    """
    bend = (0.05 * ceiling).clamp(min=1e-6)
    return ceiling - bend * nn.functional.softplus((ceiling - loss) / bend)


def shares(rows: TrainingRows, chosen: Tensor) -> Tensor:
    """Weights of all rows `(m, rows)` that take the mean over the rows of the providers `chosen`
    `(m, n)`; zero where none is chosen.
    """
    picked = chosen[:, rows.owner].to(rows.x.dtype)
    return picked / picked.sum(dim=1, keepdim=True).clamp(min=1)
