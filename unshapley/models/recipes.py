"""Train coalitions as the recipe of the pretrained model says."""

from __future__ import annotations

from torch import Tensor, nn

from unshapley.config import PretrainSettings
from unshapley.models.batches import padded
from unshapley.models.batching import State
from unshapley.models.optimizers import optimizer_of, schedule_of
from unshapley.models.pretrained import TrainingRows
from unshapley.models.training import Stepped, train


def train_by_recipe(
    model: nn.Module,
    start: State,
    rows: TrainingRows,
    staying: Tensor,
    recipe: PretrainSettings,
    stepped: Stepped | None = None,
) -> State:
    """The trained parameters `(m, …)` of the coalitions `staying` `(m, n)`.

    start: weights before training `(m, …)`; rows: of every provider that stays in any coalition.
    """
    x, y, weights = padded(rows, staying)
    return train(
        model,
        start,
        x,
        y,
        weights,
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.penalty,
        seed=recipe.seed,
        stepped=stepped,
        optimizer=optimizer_of(recipe),
        schedule=schedule_of(recipe),
    )
