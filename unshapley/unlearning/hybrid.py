"""Retrain where little is kept, unlearn where little is forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from unshapley.models import State
from unshapley.unlearning.base import Pretrained
from unshapley.unlearning.finetune import reachable_rows
from unshapley.unlearning.retrain import RetrainUnlearner
from unshapley.unlearning.shrink_finetune import ShrinkFinetuneUnlearner


@dataclass(frozen=True)
class HybridUnlearner:
    """Really retrain coalitions that keep at most the share `retrain_below` of the rows.

    An unlearned model errs most where few rows are kept, and there retraining is cheapest: its
    cost is proportional to the rows. With at most `retrain_up_to` providers all coalitions are
    retrained: so few that it costs little. All others are left to `shrink_finetune`. Touches
    retained rows.
    """

    name: ClassVar[str] = "hybrid"
    retain_free: ClassVar[bool] = False
    retrain_below: float
    retrain_up_to: int
    steps: int
    learning_rate: float

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        rows = reachable_rows(pretrained, self.name)
        small = staying[:, rows.owner].double().mean(dim=1) <= self.retrain_below
        small |= staying.shape[1] <= self.retrain_up_to
        unlearn = ShrinkFinetuneUnlearner(self.steps, self.learning_rate)
        parts = [
            (where, unlearner(pretrained, staying[where]))
            for where, unlearner in ((small, RetrainUnlearner()), (~small, unlearn))
            if where.any()
        ]
        index = torch.cat([where.nonzero().squeeze(1) for where, _ in parts]).argsort()
        return {name: torch.cat([state[name] for _, state in parts])[index] for name in parts[0][1]}
