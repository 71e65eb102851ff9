"""One damped Newton step over all layers, from statistics stored beside the checkpoint."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unshapley.errors import InputError
from unshapley.models.batching import State
from unshapley.models.pretrained import CurvatureStatistics, Pretrained
from unshapley.numerics import square_root
from unshapley.unlearning.base import Unlearner

NEAR = 0.1
"""Share of ρ for the trial step that sets ρ_S; also the lower bound of ρ_S / ρ."""
BLOCK = 16
"""Coalitions whose matrices are in memory at once: more would not fit into the cache."""


class NewtonUnlearner(Unlearner):
    """One Newton step to the minimum of a quadratic model of the retained providers' loss.

    θ_S = θ − (H_S + (n_S (w + ρ_S) + λ) I)⁻¹ (g_S + n_S w θ + λ(θ − θ_0) − (n_S / n) · r)

    with g_S, H_S the retained providers' summed gradient and Gauss-Newton matrix at the pretrained
    θ in the coordinates of `unshapley.curvature`, n_S of n rows retained, w the recipe's L2
    penalty (0 for adamw), θ_0 the recorded initialisation, and r the first three terms of the
    bracket for the full coalition: with it, forgetting no provider gives exactly the pretrained
    model. The Newton step of Guo et al., "Certified Data Removal from Machine Learning Models"
    (ICML 2020), section 3, over all layers. λ pulls towards θ_0, mostly where few rows are kept; it
    is `damping` times the variance of the residuals, which is the unit of a summed squared error.
    ρ_S limits the step to where the quadratic model holds: ρ_S = ρ √(dᵀ H d / n), with H the matrix
    of all rows and d the step with 0.1 ρ in place of ρ_S. Where the loss is quadratic, λ = ρ = 0 is
    exact retraining.

    Retain-free. Cost per coalition: two Cholesky factors of k × k matrices, for any number of rows.
    """

    name: ClassVar[str] = "newton"
    of_text: ClassVar[bool | None] = False
    retain_free: ClassVar[bool] = True
    needs: ClassVar[str | None] = "curvature"
    reads_rows: ClassVar[bool] = False
    damping: float = Field(
        3.0,
        ge=0,
        description="λ / σ², pull to the initialisation, in summed loss; σ² is the variance of the "
        "training residuals, 1 for classes",
    )
    proximal: float = Field(
        0.03, ge=0, description="ρ, pull to the pretrained weights, per row and step length"
    )

    def flop(self, pretrained: Pretrained, staying: Tensor, row_step: float) -> Tensor:
        work = super().flop(pretrained, staying, row_step)
        if pretrained.curvature is None:
            return work
        n, k, _ = pretrained.curvature.hessian.shape
        moved = sum(pretrained.trained[name].numel() for name in pretrained.curvature.parameters)
        solves = 2 if self.proximal else 1
        # sum of the providers' matrices, Cholesky factors and solves, the step in weights
        return work + 2 * n * k**2 + solves * (k**3 / 3 + 2 * k**2) + 2 * k * moved

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        curvature = pretrained.curvature
        if curvature is None:
            raise InputError(
                f"{self.name} needs the curvature statistics of the model, and none were loaded",
                where="valuation.unlearner",
                do="load the game with needs='curvature'",
            )
        decay = pretrained.recipe.penalty
        theta = curvature.coordinates(pretrained.trained)
        damping = self.damping * pretrained.noise
        pull = damping * (theta - curvature.coordinates(pretrained.initial))
        stays = staying.double()
        rows = stays @ curvature.rows
        total = curvature.rows.sum()
        residual = curvature.gradient.sum(dim=0) + total * decay * theta + pull
        slope = stays @ curvature.gradient + rows.unsqueeze(1) * decay * theta + pull
        slope -= (rows / total).unsqueeze(1) * residual
        steps = [
            self.step(curvature, stays[i : i + BLOCK], slope[i : i + BLOCK], decay, damping)
            for i in range(0, len(stays), BLOCK)
        ]
        return curvature.move(pretrained.trained, -torch.cat(steps))

    def step(
        self,
        curvature: CurvatureStatistics,
        stays: Tensor,
        slope: Tensor,
        decay: float,
        damping: float,
    ) -> Tensor:
        """The step to subtract from the pretrained weights, in coordinates `(m, k)`."""
        k = slope.shape[1]
        rows = stays @ curvature.rows
        hessian = (stays @ curvature.hessian.flatten(1)).view(-1, k, k)
        proximal = torch.full_like(rows, NEAR * self.proximal)
        if self.proximal:
            step = solve(hessian, slope, rows * (decay + proximal) + damping)
            mean_hessian = curvature.hessian.sum(dim=0) / curvature.rows.sum()
            length = square_root(((step @ mean_hessian) * step).sum(dim=1).clamp(min=0))
            proximal = (self.proximal * length).clamp(NEAR * self.proximal, 1.0)
        return solve(hessian, slope, rows * (decay + proximal) + damping)


def solve(matrices: Tensor, vectors: Tensor, ridge: Tensor) -> Tensor:
    """(matrix + ridge · I)⁻¹ vector `(m, k)`, NaN where the matrix is not positive definite."""
    damped = matrices.clone()
    damped.diagonal(dim1=1, dim2=2).add_(ridge.unsqueeze(1))
    # batched torch.linalg.solve fails in MKL here; the matrices are positive definite anyway
    factor, failed = torch.linalg.cholesky_ex(damped)
    solution = torch.cholesky_solve(vectors.unsqueeze(2), factor).squeeze(2)
    solution[failed != 0] = float("nan")
    return solution
