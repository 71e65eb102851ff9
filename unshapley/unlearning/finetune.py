"""A few training steps on the retained rows, from the pretrained weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
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
    x, y, weights = retained(reachable_rows(pretrained, who), staying)
    return train(
        pretrained.model,
        start,
        x,
        y,
        weights,
        steps=steps,
        learning_rate=rate,
        weight_decay=pretrained.recipe.weight_decay,
    )


def retained(rows: TrainingRows, staying: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each coalition's own rows, padded to the longest: x `(m, rows, features)`, y, weights.

    Weights are 1 for rows and 0 for padding. Training then costs what the largest coalition keeps,
    so coalitions of like size are measured together.
    """
    keeps = staying[:, rows.owner]
    longest = max(1, int(keeps.sum(dim=1).max()))
    index = torch.argsort(~keeps, dim=1, stable=True)[:, :longest]
    return rows.x[index], rows.y[index], keeps.gather(1, index).to(rows.x.dtype)


def reachable_rows(pretrained: Pretrained, who: str) -> TrainingRows:
    """All training rows; `InputError` where `who` needs them and they are not there."""
    if pretrained.rows is None:
        raise InputError(
            f"{who} needs the retained rows, and not all of them are reachable",
            do="use a retain-free unlearner such as newton, or restore the partitions",
        )
    return pretrained.rows
