"""A Newton step from stored statistics, then natural-gradient steps on the retained rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unshapley.models.batches import padded
from unshapley.models.batching import State, batched_outputs
from unshapley.models.losses import curvature_product, row_loss
from unshapley.models.pretrained import CurvatureStatistics, Pretrained, flat
from unshapley.unlearning.base import reachable_rows
from unshapley.unlearning.newton import NewtonUnlearner, solve

SHIFT = 1e-3
"""Length of the shift by which outputs are differentiated along a direction, in that of the
weights: in single precision a shorter one would drown in rounding."""
SHORTER = 0.3
"""Part of a step that is tried where the whole step does not lower the loss."""
PASSES = 7 / 3
"""Work of a step, in that of a training step on the same rows: gradient, outputs along three
directions, and the loss after the step."""
TINY = 1e-9


class NaturalGradientUnlearner(NewtonUnlearner):
    """Natural-gradient steps from the result of `newton`, to the minimum of

    F_S(θ) = Σ_S ℓ(θ) + n_S w/2 ‖θ‖² + λ/2 ‖θ − θ_0‖² − (n_S / n) · r · θ

    with the symbols of `newton`, and r such that the gradient of the full coalition vanishes at the
    pretrained weights: forgetting nobody changes nothing, whether the model has converged or not.
    Each step is the best combination, by the Gauss-Newton matrix of the retained rows, of three
    directions: the gradient divided by the stored matrix in its coordinates, the rest of the
    gradient, and the step before (Martens, "New Insights and Perspectives on the Natural Gradient
    Method", JMLR 2020, sections 9 and 10). A step that would raise F_S is shortened, or left out.
    Where the loss is convex this is retraining to convergence.

    Reads retained rows. Cost per coalition: `newton`, one more factor, and `steps` times 7/3 of a
    training step.
    """

    name: ClassVar[str] = "natural_gradient"
    retain_free: ClassVar[bool] = False
    reads_rows: ClassVar[bool] = True
    damping: float = Field(
        0.0,
        ge=0,
        description="λ / σ², pull to the initialisation, in summed loss; σ² is the variance of the "
        "training residuals, 1 for classes",
    )
    steps: int = Field(3, ge=1, description="natural-gradient steps on the retained rows")

    @property
    def holds_curvature(self) -> bool:
        return True

    def flop(self, pretrained: Pretrained, staying: Tensor, row_step: float) -> Tensor:
        work = super().flop(pretrained, staying, PASSES * row_step)
        if pretrained.curvature is None:
            return work
        k = pretrained.curvature.hessian.shape[1]
        moved = sum(pretrained.trained[name].numel() for name in pretrained.curvature.parameters)
        return work + k**3 / 3 + self.steps * (2 * k**2 + 4 * k * moved)

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        start = super().__call__(pretrained, staying)
        curvature = pretrained.curvature
        assert curvature is not None  # newton has refused
        loss = _retained_loss(self, pretrained, curvature, staying)
        origin = flat(pretrained.trained, curvature.parameters).expand(len(staying), -1)
        theta = torch.cat([start[name].flatten(1) for name in curvature.parameters], dim=1)
        with torch.no_grad():
            better = loss.value(theta) < loss.value(origin)
        theta = torch.where(better.unsqueeze(1), theta, origin)
        factor = _factor(curvature, staying.double(), loss.ridge)
        last = theta - origin
        for _ in range(self.steps):
            last = _step(loss, curvature, factor, theta, last)
            theta = theta + last
        return loss.state(theta)


@dataclass(frozen=True)
class _RetainedLoss:
    """F_S of m coalitions as a function of the covered weights `(m, k)`.

    outputs: of weights on each coalition's rows `(m, rows, classes)`; state: weights as tensors of
    the model; y: `(m, rows)`; weights: 1 for rows and 0 for padding `(m, rows)`; ridge: n_S w + λ
    `(m,)`; centre: the point to which λ pulls `(weights,)`; damping: λ; pull: r, less for what is
    forgotten `(m, weights)`.
    """

    outputs: Callable[[Tensor], Tensor]
    state: Callable[[Tensor], State]
    y: Tensor
    weights: Tensor
    ridge: Tensor
    centre: Tensor
    damping: float
    pull: Tensor

    def value(self, theta: Tensor, outputs: Tensor | None = None) -> Tensor:
        """F_S `(m,)`."""
        outputs = self.outputs(theta) if outputs is None else outputs
        loss = (self.weights * row_loss(outputs, self.y)).sum(dim=1)
        decay = (self.ridge - self.damping).to(theta.dtype)
        penalty = 0.5 * decay * theta.square().sum(dim=1)
        penalty = penalty + 0.5 * self.damping * (theta - self.centre).square().sum(dim=1)
        return loss + penalty - (self.pull * theta).sum(dim=1)


def _retained_loss(
    unlearner: NaturalGradientUnlearner,
    pretrained: Pretrained,
    curvature: CurvatureStatistics,
    staying: Tensor,
) -> _RetainedLoss:
    names = curvature.parameters
    # r is of everybody, so all rows are needed, whoever stays
    rows = reachable_rows(pretrained, torch.ones_like(staying), unlearner.name)
    x, y, weights = padded(rows, staying)
    sizes = [pretrained.trained[name].numel() for name in names]
    shared = {name: t for name, t in pretrained.trained.items() if name not in names}
    origin, centre = flat(pretrained.trained, names), flat(pretrained.initial, names)
    decay, damping = pretrained.recipe.penalty, unlearner.damping * pretrained.noise
    kept = staying.double() @ curvature.rows

    def state(theta: Tensor) -> State:
        parts = torch.split(theta, sizes, dim=1)
        shapes = [pretrained.trained[name].shape for name in names]
        return {
            name: part.reshape(-1, *shape)
            for name, part, shape in zip(names, parts, shapes, strict=True)
        }

    def outputs(theta: Tensor) -> Tensor:
        return batched_outputs(pretrained.model, state(theta), shared, x, 0)

    # the stored gradients are of all rows, but only in the coordinates of the basis
    at = origin.unsqueeze(0).clone().requires_grad_()
    everybody = batched_outputs(pretrained.model, state(at), shared, rows.x)
    (gradient,) = torch.autograd.grad(row_loss(everybody, rows.y).sum(), at)
    total = float(curvature.rows.sum())
    residual = gradient[0] + total * decay * origin + damping * (origin - centre)
    share = (kept / total).to(origin.dtype).unsqueeze(1)
    ridge = kept * decay + damping
    return _RetainedLoss(outputs, state, y, weights, ridge, centre, damping, share * residual)


def _factor(curvature: CurvatureStatistics, stays: Tensor, ridge: Tensor) -> Tensor:
    """Cholesky factors of the coalitions' stored matrices and ridges `(m, k, k)`."""
    k = curvature.hessian.shape[1]
    damped = (stays @ curvature.hessian.flatten(1)).view(-1, k, k)
    mean = damped.diagonal(dim1=1, dim2=2).mean(dim=1)
    damped.diagonal(dim1=1, dim2=2).add_((ridge + TINY * mean + TINY).unsqueeze(1))
    factor: Tensor = torch.linalg.cholesky_ex(damped)[0]
    return factor


def _step(
    loss: _RetainedLoss,
    curvature: CurvatureStatistics,
    factor: Tensor,
    theta: Tensor,
    last: Tensor,
) -> Tensor:
    """The next step of each model `(m, weights)`."""
    at = theta.clone().requires_grad_()
    outputs = loss.outputs(at)
    before = loss.value(at, outputs)
    (gradient,) = torch.autograd.grad(before.sum(), at)
    outputs, before = outputs.detach(), before.detach()
    with torch.no_grad():
        directions = _directions(curvature, factor, gradient, last)
        step = _best_combination(loss, theta, outputs, gradient, directions)
        whole = loss.value(theta + step) <= before
        part = torch.zeros_like(whole)
        if not whole.all():
            part = loss.value(theta + SHORTER * step) < before
        length = torch.where(whole, 1.0, torch.where(part, SHORTER, 0.0)).to(step.dtype)
        return length.unsqueeze(1) * step


def _directions(
    curvature: CurvatureStatistics, factor: Tensor, gradient: Tensor, last: Tensor
) -> Tensor:
    """Natural gradient, the gradient's rest, and the last step, of length one `(3, m, weights)`."""
    basis = curvature.basis
    if basis is None:
        inside, rest = gradient.double(), torch.zeros_like(gradient)
    else:
        inside = (gradient @ basis).double()
        rest = gradient - inside.to(gradient.dtype) @ basis.T
    natural = torch.cholesky_solve(inside.unsqueeze(2), factor).squeeze(2).to(gradient.dtype)
    if basis is not None:
        natural = natural @ basis.T
    stacked = torch.stack([-natural, -rest, last])
    directions: Tensor = stacked / stacked.norm(dim=2, keepdim=True).clamp(min=1e-30)
    return directions


def _best_combination(
    loss: _RetainedLoss, theta: Tensor, outputs: Tensor, gradient: Tensor, directions: Tensor
) -> Tensor:
    """The minimum of the quadratic model of F_S over the span of the directions `(m, weights)`."""
    shift = SHIFT * (1 + theta.norm(dim=1, keepdim=True))
    moved = [(loss.outputs(theta + shift * d) - outputs) / shift.unsqueeze(2) for d in directions]
    along = torch.stack(moved).double()
    curved = curvature_product(outputs.double(), loss.y, along)
    d = directions.double()
    matrix = torch.einsum("amrc,bmrc,mr->mab", along, curved, loss.weights.double())
    matrix += loss.ridge.view(-1, 1, 1) * torch.einsum("amw,bmw->mab", d, d)
    slope = torch.einsum("amw,mw->ma", d, gradient.double())
    ridge = TINY * matrix.diagonal(dim1=1, dim2=2).mean(dim=1) + 1e-30
    lengths = solve(matrix, -slope, ridge).nan_to_num(0.0)
    return torch.einsum("ma,amw->mw", lengths, d).to(theta.dtype)
