"""An unlearner of one's own: a straight line from the initialisation to the pretrained model.

unshapley run   with   valuation.unlearner: examples.own_unlearner:Interpolation
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from unshapley.models.batching import State
from unshapley.models.pretrained import Pretrained
from unshapley.unlearning import Unlearner


class Interpolation(Unlearner):
    """θ_S = θ_0 + (rows_S / rows)^power · (θ − θ_0), without any training.

    Touches no rows. Cost per coalition: none.
    """

    name: ClassVar[str] = "interpolation"
    retain_free: ClassVar[bool] = True
    reads_rows: ClassVar[bool] = False
    power: float = Field(0.5, gt=0, description="how the share of rows enters")

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        share = pretrained.share(staying) ** self.power
        models: State = {}
        for name, _ in pretrained.model.named_parameters():
            begin, trained = pretrained.initial[name], pretrained.trained[name]
            scale = share.to(trained.dtype).view(-1, *[1] * trained.dim())
            models[name] = begin + scale * (trained - begin)
        return models
