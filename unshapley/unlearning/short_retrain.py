"""The recipe, shortened, from weights between the initial and the pretrained ones."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unshapley.models.batching import State
from unshapley.models.pretrained import Pretrained
from unshapley.models.training import stack, trainable
from unshapley.unlearning.part_of_recipe import PartOfRecipe


class ShortRetrainUnlearner(PartOfRecipe):
    """Retrain by a part of the recipe's steps, from a start that keeps a part of what was learnt.

    θ_start = θ_0 + share_S^power (θ − θ_0), then `part` of the recipe's steps, in its mini-batches
    and with its schedule, on S. Small coalitions begin near the initialisation, large ones near
    the pretrained model, as their retrained models lie. Power 0 is fine-tuning; a large one is
    truncated retraining, the honest rival. As `shrink_finetune`, but in mini-batches: full-batch
    steps of a language model cost as much as an epoch. Reads retained rows. Cost per coalition:
    `part` of retraining.
    """

    name: ClassVar[str] = "short_retrain"
    retain_free: ClassVar[bool] = False
    power: float = Field(2.0, ge=0, description="of the share of rows kept")

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        kept = pretrained.share(staying) ** self.power
        start = stack(pretrained.trained, len(staying))
        for name in trainable(pretrained.model):
            begin, theta = pretrained.initial[name], pretrained.trained[name]
            scale = kept.to(theta.dtype).view(-1, *[1] * theta.dim())
            start[name] = torch.lerp(begin.expand_as(start[name]), start[name], scale)
        return self.trained(pretrained, start, staying)
