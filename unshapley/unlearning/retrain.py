"""Real retraining, the reference for unlearning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unshapley.errors import InputError
from unshapley.models.batching import State
from unshapley.models.fitting import initialised
from unshapley.models.pretrained import Pretrained
from unshapley.models.recipes import batch_size, checks, passes, train_by_recipe
from unshapley.models.training import stack
from unshapley.unlearning.base import Unlearner, reachable_rows, train_on_retained

FORWARD = 1 / 3
"""Work of a forward pass, in that of a training step."""


class RetrainUnlearner(Unlearner):
    """The reference: really retrain on the retained rows, from the recorded initialisation.

    With another seed it shows how much retraining itself varies. Reads retained rows. Cost per
    coalition: the whole recorded recipe.
    """

    name: ClassVar[str] = "retrain"
    retain_free: ClassVar[bool] = False
    control: ClassVar[bool] = True
    seed: int | None = Field(
        None, ge=0, description="seed of another initialisation; none: the recorded one"
    )

    def training_steps(self, pretrained: Pretrained) -> int:
        return pretrained.recipe.steps

    def rows_of_step(self, pretrained: Pretrained, rows: int) -> int:
        recipe, reference = pretrained.recipe, len(pretrained.reference[1])
        rows = min(rows, batch_size(recipe, int(pretrained.counts.sum())) or rows)
        return rows if recipe.patience is None else max(rows, reference)

    def flop(self, pretrained: Pretrained, staying: Tensor, row_step: float) -> Tensor:
        shorter = full_steps(pretrained) / pretrained.recipe.steps
        looks = checks(pretrained.recipe, int(pretrained.counts.sum()))
        checked = FORWARD * row_step * looks * len(pretrained.reference[1])
        return super().flop(pretrained, staying, row_step) * shorter + checked

    def exact(self, pretrained: Pretrained, staying: Tensor) -> Tensor:
        return torch.ones(len(staying), dtype=torch.bool, device=staying.device)

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        if not pretrained.recipe_known:
            raise no_recipe(self.name)
        if self.seed is not None:
            pretrained = _reseeded(pretrained, self.seed)
        start = stack(pretrained.initial, len(staying))
        rows = reachable_rows(pretrained, staying, self.name)
        model, counts, recipe = pretrained.model, pretrained.counts, pretrained.recipe
        reference = pretrained.reference
        return train_by_recipe(model, start, rows, counts, staying, recipe, reference).parameters


def no_recipe(unlearner: str) -> InputError:
    """An error: `unlearner` retrains, and how the model was trained is not known."""
    return InputError(
        f"{unlearner} retrains, and how the model was trained is not stated",
        where="valuation.unlearner",
        expected="an unlearner that needs no recipe, such as auto or newton",
        do="state the recipe under pretrain, or use another unlearner",
    )


def full_steps(pretrained: Pretrained) -> float:
    """How many full-batch steps cost as much as the recipe: unlearners take such steps."""
    return passes(pretrained.recipe, int(pretrained.counts.sum()))


def retrained_or(
    unlearner: Callable[[Pretrained, Tensor], State],
    exact: Tensor,
    pretrained: Pretrained,
    staying: Tensor,
) -> State:
    """Models of coalitions `(m, …)`: retrained where `exact` `(m,)`, else by the unlearner."""
    parts: list[tuple[Tensor, State]] = []
    kinds: tuple[tuple[Tensor, Callable[[Pretrained, Tensor], State]], ...]
    kinds = ((exact, RetrainUnlearner()), (~exact, unlearner))
    for rows, kind in kinds:
        if rows.any():
            parts.append((rows, kind(pretrained, staying[rows])))
    index = torch.cat([rows.nonzero().squeeze(1) for rows, _ in parts]).argsort()
    names = sorted({name for _, state in parts for name in state})
    return {
        name: torch.cat([_of(state, name, rows, pretrained) for rows, state in parts])[index]
        for name in names
    }


def _of(state: State, name: str, rows: Tensor, pretrained: Pretrained) -> Tensor:
    """A tensor of every model; the pretrained one where the unlearner does not change it."""
    if name in state:
        return state[name]
    kept = pretrained.trained[name]
    return kept.unsqueeze(0).expand(int(rows.sum()), *kept.shape)


def _reseeded(pretrained: Pretrained, seed: int) -> Pretrained:
    """With the initialisation and the noise of training that another seed gives."""
    recipe = pretrained.recipe.model_copy(update={"seed": seed})
    return replace(pretrained, recipe=recipe, initial=initialised(pretrained, seed))


class TruncatedRetrainUnlearner(Unlearner):
    """A control of equal cost: retrain from the initialisation, but only for a few steps.

    An unlearner that is no better than this for the same `steps` gains nothing from the pretrained
    model. Reads retained rows. Cost per coalition: `steps` full-batch steps.
    """

    name: ClassVar[str] = "truncated_retrain"
    retain_free: ClassVar[bool] = False
    control: ClassVar[bool] = True
    steps: int = Field(15, ge=1, description="Adam steps on the retained rows")
    learning_rate: float = Field(0.05, gt=0, description="larger than the recipe's: fewer steps")

    @property
    def vanishes(self) -> bool:
        return False

    def __call__(self, pretrained: Pretrained, staying: Tensor) -> State:
        start = stack(pretrained.initial, len(staying))
        return train_on_retained(
            pretrained, start, staying, self.steps, self.learning_rate, self.name
        )
