"""A few training steps on the retained rows, from weights early in training."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from unshapley.errors import InputError
from unshapley.models.batching import State
from unshapley.models.pretrained import Pretrained
from unshapley.models.training import stack
from unshapley.unlearning.base import Unlearner, train_on_retained


class RewindFinetuneUnlearner(Unlearner):
    """Go back to weights from early in training, then train on the retained rows.

    θ = `steps` of Adam on S, from the early weights θ_early

    Early weights have learnt what all rows have in common, and little from any single provider: so
    there is less to forget than with `finetune`, and less to learn than from the initialisation.
    The algorithm of Mu and Klabjan, "Rewind-to-Delete: Certified Machine Unlearning for Nonconvex
    Functions" (NeurIPS 2025), without its noise; pretrain.rewind sets how early. Reads retained
    rows. Cost per coalition: `steps` full-batch steps.
    """

    name: ClassVar[str] = "rewind_finetune"
    retain_free: ClassVar[bool] = False
    steps: int = Field(15, ge=1, description="Adam steps on the retained rows")
    learning_rate: float = Field(0.02, gt=0)

    @property
    def vanishes(self) -> bool:
        return False

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        if pretrained.rewind is None:
            raise InputError(
                f"{self.name} needs the weights from early in training, and there are none",
                where="data/model",
                do="pretrain again, or use another unlearner, such as finetune",
            )
        start = stack(pretrained.rewind, len(staying))
        return train_on_retained(
            pretrained, start, staying, self.steps, self.learning_rate, self.name
        )
