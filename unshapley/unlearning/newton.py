"""One damped Newton step of the last layer, from statistics stored beside the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from unshapley.errors import InputError
from unshapley.models import State
from unshapley.statistics import head_state, head_vector
from unshapley.unlearning.base import Pretrained


@dataclass(frozen=True)
class NewtonUnlearner:
    """Forget by minimising the quadratic model of the retained providers' loss.

    θ_S = θ − (H_S + λI)⁻¹ (g_S + λ(θ − θ_0) − (rows_S / rows) · r),  r = g + λ(θ − θ_0)

    with g_S, H_S the retained providers' summed gradient and Hessian of the last layer at the
    pretrained θ, and θ_0 the recorded initialisation. The last term corrects linearly so that
    forgetting nobody gives the pretrained model exactly. The Newton step of Guo et al., "Certified
    Data Removal from Machine Learning Models" (ICML 2020), section 3, damped towards θ_0.

    Retain-free. Cost per coalition: one Cholesky solve of (classes · width)², whatever the rows.
    """

    name: ClassVar[str] = "newton"
    retain_free: ClassVar[bool] = True
    damping: float

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        statistics = pretrained.statistics
        if statistics is None:
            raise InputError(
                "newton needs the curvature statistics of the model, and none are recorded",
                do="pretrain with a model that ends in a torch.nn.Linear, or use finetune",
            )
        theta = head_vector(pretrained.trained, statistics.layer)
        pull = self.damping * (theta - head_vector(pretrained.initial, statistics.layer))
        stays = staying.double()
        residual = statistics.gradient.sum(dim=0) + pull
        share = (stays @ statistics.rows) / statistics.rows.sum()
        gradient = stays @ statistics.gradient + pull - share.unsqueeze(1) * residual
        size = len(theta)
        hessian = (stays @ statistics.hessian.flatten(1)).view(-1, size, size)
        hessian.diagonal(dim1=1, dim2=2).add_(self.damping)
        # batched torch.linalg.solve fails in MKL for such batches; this is positive definite anyway
        factor = torch.linalg.cholesky(hessian)
        step = torch.cholesky_solve(gradient.unsqueeze(2), factor).squeeze(2)
        return head_state(theta - step, pretrained.trained, statistics.layer)
