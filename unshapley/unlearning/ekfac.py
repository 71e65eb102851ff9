"""One damped Newton step over all weights, diagonal in the layers' Kronecker eigenbasis."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from unshapley.curvature.kronecker import rotated
from unshapley.errors import InputError
from unshapley.models.batching import State
from unshapley.models.pretrained import KroneckerStatistics, Pretrained
from unshapley.models.training import trainable
from unshapley.unlearning.base import Unlearner


class EkfacUnlearner(Unlearner):
    """A Newton step to the minimum of the retained tokens' loss, drawn to the initialisation.

    θ_S = θ − Q [ (Σ_S g_i − share_S Σ_N g_i + λ (1 − share_S) Qᵀ(θ − θ_0)) / (Σ_S s_i + λ) ]

    with Q the Kronecker eigenbasis, g_i a provider's gradient of the summed loss of its tokens, s_i
    its summed squares of gradients with labels drawn from the model, both in the basis
    (`curvature.kronecker`), share_S the share of the rows kept, θ_0 the recorded initialisation.
    Forgetting nobody gives the pretrained model, forgetting everybody θ_0. The influence function
    of Grosse et al., "Studying Large Language Model Generalization with Influence Functions"
    (2023), section 3.2, as a step; without the pull to θ_0 it diverged for λ below 300.

    Retain-free: statistics alone. Cost per coalition: a sum over providers, and the rotation back.
    """

    name: ClassVar[str] = "ekfac"
    retain_free: ClassVar[bool] = True
    needs: ClassVar[str | None] = "curvature"
    reads_rows: ClassVar[bool] = False
    of_text: ClassVar[bool | None] = True
    damping: float = Field(1000.0, gt=0, description="λ, in summed nats of tokens")

    def flop(self, pretrained: Pretrained, staying: Tensor, row_step: float) -> Tensor:
        work = super().flop(pretrained, staying, row_step)
        if pretrained.kronecker is None:
            return work
        weights = sum(t.numel() for t in pretrained.trained.values())
        turned = sum(
            2 * pretrained.trained[f"{name.rpartition('.')[0]}.weight"].numel() * len(vectors)
            for name, vectors in pretrained.kronecker.basis.items()
        )
        return work + 4 * staying.shape[1] * weights + turned

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        statistics = statistics_of(pretrained, self.name)
        names = trainable(pretrained.model)
        moved = {n: pretrained.trained[n] - pretrained.initial[n] for n in names}
        pull = rotated(statistics.basis, moved)
        share = pretrained.share(staying).to(next(iter(pull.values())).dtype)
        stays = staying.to(share.dtype)
        steps: State = {}
        for name in names:
            gradient, squares = statistics.gradient[name], statistics.squares[name]
            kept = share.view(-1, *[1] * pull[name].dim())
            slope = (stays @ gradient.flatten(1)).view(-1, *pull[name].shape)
            slope = slope - kept * gradient.sum(dim=0) + self.damping * (1 - kept) * pull[name]
            curvature = (stays @ squares.flatten(1)).view_as(slope)
            steps[name] = slope / (curvature + self.damping)
        steps = rotated(statistics.basis, steps, back=True)
        return {name: pretrained.trained[name] - steps[name] for name in names}


def statistics_of(pretrained: Pretrained, unlearner: str) -> KroneckerStatistics:
    """The stored statistics; `InputError` where there are none."""
    if pretrained.kronecker is None:
        raise InputError(
            f"{unlearner} needs statistics of text, and the model has none",
            where="valuation.unlearner",
            expected="a language model, with the statistics that `unshapley pretrain` stores",
            do="run `unshapley curvature`, or set valuation.unlearner to retrain",
        )
    return pretrained.kronecker
