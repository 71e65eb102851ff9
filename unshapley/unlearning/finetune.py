"""A few training steps on the retained rows, from the pretrained weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from unshapley.errors import InputError
from unshapley.models import State
from unshapley.training import stack, train
from unshapley.unlearning.base import Pretrained, TrainingRows


@dataclass(frozen=True)
class FinetuneUnlearner:
    """Forget by training on: `steps` of the recorded recipe on the retained rows only.

    The catastrophic-forgetting baseline of Golatkar et al., "Eternal Sunshine of the Spotless Net"
    (CVPR 2020), section 6. Touches retained rows. Cost per coalition: `steps` full-batch steps.
    """

    name: ClassVar[str] = "finetune"
    retain_free: ClassVar[bool] = False
    steps: int
    learning_rate: float

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        start = stack(pretrained.trained, len(staying))
        return train_on_retained(
            pretrained, start, staying, self.steps, self.learning_rate, self.name
        )


def train_on_retained(
    pretrained: Pretrained, start: State, staying: Tensor, steps: int, rate: float, who: str
) -> State:
    """Train one model a coalition from `start` `(m, …)` on the rows of the providers that stay."""
    rows = reachable_rows(pretrained, who)
    return train(
        pretrained.model,
        start,
        rows.x,
        rows.y,
        staying[:, rows.owner].to(rows.x.dtype),
        steps=steps,
        learning_rate=rate,
        weight_decay=pretrained.recipe.weight_decay,
    )


def reachable_rows(pretrained: Pretrained, who: str) -> TrainingRows:
    """All training rows; `InputError` where `who` needs them and they are not there."""
    if pretrained.rows is None:
        raise InputError(
            f"{who} needs the retained rows, and not all of them are reachable",
            do="use a retain-free unlearner such as newton, or restore the partitions",
        )
    return pretrained.rows
