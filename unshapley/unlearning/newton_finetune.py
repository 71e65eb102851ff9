"""A Newton step from stored statistics, then a few training steps on the retained rows."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from unshapley.models.batching import State
from unshapley.models.pretrained import Pretrained
from unshapley.models.training import stack
from unshapley.unlearning.base import step_length, train_on_retained
from unshapley.unlearning.newton import NewtonUnlearner


class NewtonFinetuneUnlearner(NewtonUnlearner):
    """Fine-tune from the result of `newton` instead of from the pretrained weights.

    The Newton step brings most coalitions close to their retrained model; a few steps of the
    recorded recipe on the retained rows reduce the error of the quadratic model. Reads retained
    rows. Cost per coalition: that of `newton` and `steps` full-batch steps.
    """

    name: ClassVar[str] = "newton_finetune"
    retain_free: ClassVar[bool] = False
    reads_rows: ClassVar[bool] = True
    steps: int = Field(10, ge=1, description="Adam steps on the retained rows")
    learning_rate: float = Field(0.02, gt=0)

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        start = stack(pretrained.trained, len(staying))
        start.update(super().__call__(pretrained, staying))
        length = step_length(pretrained, staying)
        return train_on_retained(
            pretrained, start, staying, self.steps, self.learning_rate, self.name, length
        )
