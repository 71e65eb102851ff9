"""Train coalitions as the recipe of the pretrained model says."""

from __future__ import annotations

from torch import Tensor, nn

from unshapley.config import PretrainSettings
from unshapley.models.batches import MiniBatches, full_batch, padded
from unshapley.models.batching import State
from unshapley.models.optimizers import optimizer_of, schedule_of, skipping
from unshapley.models.pretrained import TrainingRows
from unshapley.models.training import Stepped, train


def train_by_recipe(
    model: nn.Module,
    start: State,
    rows: TrainingRows,
    counts: Tensor,
    staying: Tensor,
    recipe: PretrainSettings,
    stepped: Stepped | None = None,
) -> State:
    """The trained parameters `(m, …)` of the coalitions `staying` `(m, n)`.

    start: weights before training `(m, …)`; rows: of every provider that stays in any coalition;
    counts: number of rows of every provider `(n,)`. In a mini-batch in which a model has no row it
    takes no step: a step of weight decay alone would make the penalty of small coalitions larger
    than that of large ones.
    """
    optimizer = optimizer_of(recipe)
    if (size := batch_size(recipe, int(counts.sum()))) is None:
        batches = full_batch(*padded(rows, staying))
    else:
        batches = mini = MiniBatches(rows, counts, staying, size, recipe.seed)
        optimizer = skipping(recipe, lambda: mini.moving)
    return train(
        model,
        start,
        batches,
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.penalty,
        seed=recipe.seed,
        stepped=stepped,
        optimizer=optimizer,
        schedule=schedule_of(recipe),
    )


def batch_size(recipe: PretrainSettings, rows: int) -> int | None:
    """Rows of a mini-batch of the model of all `rows`; none where a step takes all of them."""
    size = recipe.batch_size
    return None if size is None or size >= rows else size


def passes(recipe: PretrainSettings, rows: int) -> float:
    """How many full-batch steps read as many rows as the recipe does: its steps, or, with
    mini-batches, its passes over all `rows`.
    """
    size = batch_size(recipe, rows)
    if size is None:
        return float(recipe.steps)
    whole, further = divmod(recipe.steps, -(-rows // size))
    return whole + further * size / rows
