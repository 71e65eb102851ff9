"""The interface of unlearners that train by a part of the recipe."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from unshapley.models.batching import State
from unshapley.models.pretrained import Pretrained
from unshapley.models.recipes import train_by_recipe
from unshapley.unlearning.base import Unlearner, reachable_rows
from unshapley.unlearning.retrain import RetrainUnlearner, no_recipe


class PartOfRecipe(Unlearner):
    """Trains by a part of the recipe's steps, in its mini-batches and with its schedule: on the
    forgotten rows if it is retain-free, else on the retained ones.
    """

    retain_free: ClassVar[bool]
    part: float = Field(0.1, gt=0, le=1, description="of the recipe's steps")

    def training_steps(self, pretrained: Pretrained) -> int:
        return max(1, round(self.part * pretrained.recipe.steps))

    def rows_of_step(self, pretrained: Pretrained, rows: int) -> int:
        return RetrainUnlearner().rows_of_step(pretrained, rows)

    def flop(self, pretrained: Pretrained, staying: Tensor, row_step: float) -> Tensor:
        part = self.training_steps(pretrained) / pretrained.recipe.steps
        return part * RetrainUnlearner().flop(pretrained, self._read(staying), row_step)

    def trained(
        self, pretrained: Pretrained, start: State, staying: Tensor, **recipe: Any
    ) -> State:
        """Models of coalitions, from `start` `(m, …)`; recipe: what else is not as recorded.

        Raises `InputError` where the recipe or rows that are read are missing.
        """
        if not pretrained.recipe_known:
            raise no_recipe(self.name)
        read = self._read(staying)
        rows = reachable_rows(
            pretrained, read, self.name, "is forgotten" if self.retain_free else "stays"
        )
        shorter = {"steps": self.training_steps(pretrained), **recipe}
        return train_by_recipe(
            pretrained.model,
            start,
            rows,
            pretrained.counts,
            read,
            pretrained.recipe.model_copy(update=shorter),
            pretrained.reference,
        ).parameters

    def _read(self, staying: Tensor) -> Tensor:
        """Whose rows are read `(m, n)`."""
        return ~staying if self.retain_free else staying
