"""Retrain small coalitions, unlearn for large ones."""

from __future__ import annotations

import math
from typing import ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from unshapley.models.batching import State
from unshapley.models.pretrained import Pretrained
from unshapley.unlearning.newton_finetune import NewtonFinetuneUnlearner
from unshapley.unlearning.retrain import RetrainUnlearner, full_steps, retrained_or


class HybridUnlearner(NewtonFinetuneUnlearner):
    """Really retrain the coalitions with the fewest rows, use `newton_finetune` for all others.

    Unlearned models have the largest errors where few rows are kept. There retraining is cheapest,
    as its cost is proportional to the rows. `fitted` splits a plan so that it costs the share
    `cost` of retraining everything, counted in rows × steps: fine-tuning is paid first, and the
    rest retrains the smallest coalitions. With at most `retrain_up_to` providers all coalitions are
    retrained, as they are few. Reads retained rows.
    """

    name: ClassVar[str] = "hybrid"
    retain_free: ClassVar[bool] = False
    cost: float = Field(0.04, gt=0, le=1, description="share of the cost of retraining everything")
    retrain_up_to: int = Field(
        6, ge=0, description="with at most this many providers, all coalitions are retrained"
    )
    retrain_below: float | None = Field(
        None, ge=0, le=1, description="largest share of rows to retrain; none: set by cost"
    )
    steps: int = Field(8, ge=1, description="maximum number of Adam steps on the retained rows")

    def fitted(self, pretrained: Pretrained, staying: Tensor) -> Self:
        """A copy with `steps` and `retrain_below` set for the coalitions `(m, n)` of a plan."""
        if self.retrain_below is not None:
            return self
        share = pretrained.share(staying).cpu().sort().values
        total = full_steps(pretrained)
        steps = self.affordable(total)
        extra_cost = share.cumsum(0) * (1 - steps / total)
        budget = share.sum() * max(0.0, self.cost - steps / total)
        count = int((extra_cost <= budget + 1e-9).sum())
        below = float(share[count - 1]) if count else 0.0
        # of coalitions with the same share of rows, all are retrained or none
        if count < len(share) and count and share[count] == share[count - 1]:
            lower = share[share < share[count - 1]]
            below = float(lower[-1]) if len(lower) else 0.0
        return self.model_copy(update={"steps": steps, "retrain_below": below})

    def affordable(self, total: float) -> int:
        """Fine-tuning steps that `cost` pays for, where retraining takes `total` of them."""
        return max(1, min(self.steps, int(self.cost * total)))

    def split(self, total: float) -> float:
        """Largest share of rows to retrain: `retrain_below`, or else what `cost` pays for if shares
        are uniformly distributed, so that it does not depend on the coalitions of a chunk.
        """
        if self.retrain_below is not None:
            return self.retrain_below
        steps = self.affordable(total) / total
        return math.sqrt(max(0.0, self.cost - steps) / (1 - steps)) if steps < 1 else 0.0

    def exact(self, pretrained: Pretrained, staying: Tensor) -> Tensor:
        if staying.shape[1] <= self.retrain_up_to:
            return torch.ones(len(staying), dtype=torch.bool, device=staying.device)
        return pretrained.share(staying) <= self.split(full_steps(pretrained)) + 1e-12

    def flop(self, pretrained: Pretrained, staying: Tensor, row_step: float) -> Tensor:
        unlearned = super().flop(pretrained, staying, row_step)
        retrained = RetrainUnlearner().flop(pretrained, staying, row_step)
        return torch.where(self.exact(pretrained, staying), retrained, unlearned)

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        exact = self.exact(pretrained, staying)
        return retrained_or(super().__call__, exact, pretrained, staying)
