"""The control that keeps the pretrained model."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from unshapley.models.batching import State
from unshapley.models.pretrained import Pretrained
from unshapley.models.training import stack, trainable
from unshapley.unlearning.base import Unlearner


class NoUnlearning(Unlearner):
    """Keep the pretrained model: the baseline for every unlearner. Retain-free, without cost."""

    name: ClassVar[str] = "no_unlearning"
    retain_free: ClassVar[bool] = True
    control: ClassVar[bool] = True
    reads_rows: ClassVar[bool] = False

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        names = trainable(pretrained.model)
        return stack({n: pretrained.trained[n] for n in names}, len(staying))
