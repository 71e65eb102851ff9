"""Real retraining, the reference for unlearning."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unshapley.models.batching import State
from unshapley.models.pretrained import Pretrained
from unshapley.models.training import stack
from unshapley.unlearning.base import Unlearner, train_on_retained


class RetrainUnlearner(Unlearner):
    """The reference: really retrain on the retained rows, from the recorded initialisation.

    Reads retained rows. Cost per coalition: the whole recorded recipe.
    """

    name: ClassVar[str] = "retrain"
    retain_free: ClassVar[bool] = False
    control: ClassVar[bool] = True

    def exact(self, pretrained: Pretrained, staying: Tensor) -> Tensor:
        return torch.ones(len(staying), dtype=torch.bool, device=staying.device)

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        recipe = pretrained.recipe
        start = stack(pretrained.initial, len(staying))
        return train_on_retained(
            pretrained, start, staying, recipe.steps, recipe.learning_rate, self.name
        )


class TruncatedRetrainUnlearner(Unlearner):
    """A control of equal cost: retrain from the initialisation, but only for a few steps.

    An unlearner that is no better than this for the same `steps` gains nothing from the pretrained
    model. Reads retained rows. Cost per coalition: `steps` full-batch steps.
    """

    name: ClassVar[str] = "truncated_retrain"
    retain_free: ClassVar[bool] = False
    control: ClassVar[bool] = True
    steps: int = Field(15, ge=1, description="Adam steps on the retained rows")
    learning_rate: float = Field(0.05, gt=0, description="larger than the recipe's: fewer steps")

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        start = stack(pretrained.initial, len(staying))
        return train_on_retained(
            pretrained, start, staying, self.steps, self.learning_rate, self.name
        )
