"""Negate what fine-tuning on the forgotten rows would add to the weights."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from unshapley.models.batching import State
from unshapley.models.pretrained import Pretrained
from unshapley.models.training import stack, trainable
from unshapley.unlearning.base import step_length
from unshapley.unlearning.part_of_recipe import PartOfRecipe


class TaskVectorUnlearner(PartOfRecipe):
    """Fine-tune on the forgotten rows, and go as far the other way.

    θ_S = θ − α λ_S (θ_ft − θ)

    with θ_ft the weights after `part` of the recipe's steps on the forgotten rows, in its
    mini-batches and with its schedule, and λ_S twice the share of rows that are forgotten, at most
    1: forgetting nothing changes nothing, forgetting little changes little. Ilharco et al.,
    "Editing Models with Task Arithmetic" (ICLR 2023), section 3, where α is chosen on held-out rows
    and the model has not seen the forgotten ones before. Reads forgotten rows only. Cost per
    coalition: `part` of training on these.
    """

    name: ClassVar[str] = "task_vector"
    retain_free: ClassVar[bool] = True
    part: float = Field(0.05, gt=0, le=1, description="of the recipe's steps")
    scale: float = Field(1.0, gt=0, description="α, of the vector that is subtracted")

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        start = stack(pretrained.trained, len(staying))
        if staying.all():  # nobody's rows need be there
            return {name: start[name] for name in trainable(pretrained.model)}
        tuned = self.trained(pretrained, start, staying, patience=None)
        length = self.scale * step_length(pretrained, staying)
        return {
            name: _negated(pretrained.trained[name], tuned[name], length)
            for name in trainable(pretrained.model)
        }


def _negated(theta: Tensor, tuned: Tensor, length: Tensor) -> Tensor:
    """θ − length · (θ_ft − θ) of each model `(m, …)`; exactly θ where the length is 0."""
    factor = length.to(theta.dtype).view(-1, *[1] * theta.dim())
    return theta - factor * (tuned - theta)
