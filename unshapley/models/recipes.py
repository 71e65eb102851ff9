"""Train coalitions as the recipe of the pretrained model says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unshapley.config import PretrainSettings
from unshapley.models.batches import Batches, FullBatch, MiniBatches, padded
from unshapley.models.batching import State
from unshapley.models.optimizers import optimizer_of, schedule_of, skipping
from unshapley.models.rows import Rows
from unshapley.models.stopping import EarlyStop
from unshapley.models.training import train
from unshapley.models.training_rows import TrainingRows


@dataclass(frozen=True)
class Trained:
    """Trained models.

    parameters: `(m, …)`; steps: number of the step after which each had them `(m,)`, less than the
    recipe's where training stopped early.
    """

    parameters: State
    steps: Tensor


def train_by_recipe(
    model: nn.Module,
    start: State,
    rows: TrainingRows,
    counts: Tensor,
    staying: Tensor,
    recipe: PretrainSettings,
    reference: Rows,
    stepped: Callable[[int, State], None] | None = None,
) -> Trained:
    """The models of the coalitions `staying` `(m, n)`.

    start: weights before training `(m, …)`; rows: of every provider that stays in any coalition;
    counts: number of rows of every provider `(n,)`; reference: rows by whose loss a recipe with
    `patience` stops each model. In a mini-batch in which a model has no row it takes no step: a
    step of weight decay alone would make the penalty of small coalitions larger than that of large
    ones.
    """
    optimizer = optimizer_of(recipe)
    if (size := batch_size(recipe, int(counts.sum()))) is None:
        batches: Batches = FullBatch.weighted(*padded(rows, staying))
    else:
        batches = mini = MiniBatches(rows, counts, staying, size, recipe.seed)
        optimizer = skipping(recipe, lambda: mini.moving)
    stop = None
    if recipe.patience is not None:
        stop = EarlyStop(
            model,
            start,
            reference,
            patience=recipe.patience,
            pass_steps=steps_of_pass(recipe, int(counts.sum())),
            steps=recipe.steps,
        )

    def after(step: int, theta: State) -> bool:
        if stepped is not None:
            stepped(step, theta)
        return stop is not None and stop(step, theta)

    parameters = train(
        model,
        start,
        batches,
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.penalty,
        seed=recipe.seed,
        stepped=after if stepped or stop else None,
        optimizer=optimizer,
        schedule=schedule_of(recipe),
    )
    if stop is not None:
        return Trained(stop.best, stop.steps)
    return Trained(parameters, torch.full((len(staying),), recipe.steps))


def batch_size(recipe: PretrainSettings, rows: int) -> int | None:
    """Rows of a mini-batch of the model of all `rows`; none where a step takes all of them."""
    size = recipe.batch_size
    return None if size is None or size >= rows else size


def steps_of_pass(recipe: PretrainSettings, rows: int) -> int:
    """Steps in which the model of all `rows` reads each once; a full-batch step does."""
    return -(-rows // (batch_size(recipe, rows) or rows))


def checks(recipe: PretrainSettings, rows: int) -> int:
    """At most how often the loss on the reference set is looked at."""
    if recipe.patience is None:
        return 0
    return -(-recipe.steps // steps_of_pass(recipe, rows))


def passes(recipe: PretrainSettings, rows: int) -> float:
    """How many full-batch steps read as many rows as the recipe does: its steps, or, with
    mini-batches, its passes over all `rows`.
    """
    size = batch_size(recipe, rows)
    if size is None:
        return float(recipe.steps)
    whole, further = divmod(recipe.steps, steps_of_pass(recipe, rows))
    return whole + further * size / rows
