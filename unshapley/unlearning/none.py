"""The control that leaves the pretrained model as it is."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from unshapley.models.batching import State
from unshapley.models.pretrained import Pretrained
from unshapley.models.training import stack, trainable
from unshapley.unlearning.base import Unlearner


class NoUnlearning(Unlearner):
    """Forget nothing: what an unlearner has to be better than. Retain-free, free of cost."""

    name: ClassVar[str] = "no_unlearning"
    retain_free: ClassVar[bool] = True
    control: ClassVar[bool] = True
    reads_rows: ClassVar[bool] = False

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        names = trainable(pretrained.model)
        return stack({n: pretrained.trained[n] for n in names}, len(staying))
