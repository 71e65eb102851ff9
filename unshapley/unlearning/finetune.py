"""A few training steps on the retained rows, from the pretrained weights."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from unshapley.models.batching import State
from unshapley.models.pretrained import Pretrained
from unshapley.models.training import stack
from unshapley.unlearning.base import Unlearner, step_length, train_on_retained


class FinetuneUnlearner(Unlearner):
    """Continue training from the pretrained weights, for `steps` on the retained rows only.

    The catastrophic-forgetting baseline of Golatkar et al., "Eternal Sunshine of the Spotless Net"
    (CVPR 2020), section 6. Reads retained rows. Cost per coalition: `steps` full-batch steps.
    """

    name: ClassVar[str] = "finetune"
    retain_free: ClassVar[bool] = False
    steps: int = Field(15, ge=1, description="Adam steps on the retained rows")
    learning_rate: float = Field(0.02, gt=0)

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        start = stack(pretrained.trained, len(staying))
        length = step_length(pretrained, staying)
        return train_on_retained(
            pretrained, start, staying, self.steps, self.learning_rate, self.name, length
        )
