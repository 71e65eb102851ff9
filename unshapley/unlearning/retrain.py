"""Real retraining, the reference for unlearning."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unshapley.models.batching import State
from unshapley.models.fitting import initialised
from unshapley.models.pretrained import Pretrained
from unshapley.models.training import stack
from unshapley.unlearning.base import Unlearner, train_on_retained


class RetrainUnlearner(Unlearner):
    """The reference: really retrain on the retained rows, from the recorded initialisation.

    With another seed it shows how much retraining itself varies. Reads retained rows. Cost per
    coalition: the whole recorded recipe.
    """

    name: ClassVar[str] = "retrain"
    retain_free: ClassVar[bool] = False
    control: ClassVar[bool] = True
    seed: int | None = Field(
        None, ge=0, description="seed of another initialisation; none: the recorded one"
    )

    def training_steps(self, pretrained: Pretrained) -> int:
        return pretrained.recipe.steps

    def exact(self, pretrained: Pretrained, staying: Tensor) -> Tensor:
        return torch.ones(len(staying), dtype=torch.bool, device=staying.device)

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        if self.seed is not None:
            pretrained = _reseeded(pretrained, self.seed)
        recipe = pretrained.recipe
        start = stack(pretrained.initial, len(staying))
        return train_on_retained(
            pretrained, start, staying, recipe.steps, recipe.learning_rate, self.name
        )


def _reseeded(pretrained: Pretrained, seed: int) -> Pretrained:
    """With the initialisation and the noise of training that another seed gives."""
    recipe = pretrained.recipe.model_copy(update={"seed": seed})
    return replace(pretrained, recipe=recipe, initial=initialised(pretrained, seed))


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
