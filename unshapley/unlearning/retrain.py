"""Real retraining: what unlearning is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from unshapley.models import State
from unshapley.training import stack
from unshapley.unlearning.base import Pretrained
from unshapley.unlearning.finetune import train_on_retained


@dataclass(frozen=True)
class RetrainUnlearner:
    """The reference: really retrain on the retained rows, from the recorded initialisation.

    Touches retained rows. Cost per coalition: the whole recorded recipe.
    """

    name: ClassVar[str] = "retrain"
    retain_free: ClassVar[bool] = False

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        recipe = pretrained.recipe
        start = stack(pretrained.initial, len(staying))
        return train_on_retained(
            pretrained, start, staying, recipe.steps, recipe.learning_rate, self.name
        )
