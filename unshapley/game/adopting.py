"""A model that was trained elsewhere, as one that was pretrained here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from unshapley.config import PretrainSettings
from unshapley.game.coalitions import everybody
from unshapley.game.loading import LoadedGame
from unshapley.game.measuring import measure, measure_endpoints
from unshapley.models.batching import State
from unshapley.models.fitting import noise_of, together
from unshapley.models.pretrained import Pretrained
from unshapley.models.rows import Rows
from unshapley.unlearning.none import NoUnlearning
from unshapley.unlearning.retrain import RetrainUnlearner

OFF = 0.1
"""Share of U(all) − U(none) by which retraining everybody may miss the model's utility."""


def adopt(
    model: nn.Module,
    initial: State,
    partitions: Mapping[str, Rows],
    reference: Rows,
    recipe: PretrainSettings,
    *,
    recipe_known: bool,
    initialise: Callable[[int], State],
    test: Rows | None = None,
) -> Pretrained:
    """The pretrained model of a module as `models.building.usable` gives it.

    initial: what stands for U(none); recipe_known: whether the recipe is how it was trained, so
    that it can be retrained; initialise: the weights before training that a seed gives.
    """
    rows, counts = together(partitions)
    return Pretrained(
        model=model,
        trained=state_of(model),
        initial=initial,
        recipe=recipe,
        counts=counts,
        rows=rows,
        reference=reference,
        noise=noise_of(model, rows),
        recipe_known=recipe_known,
        initialise=initialise,
        test=test,
    )


def fresh_words(seed: int) -> str:
    """What stands for U(none) where it is new weights."""
    return f"new weights, drawn by seed {seed}"


def state_of(model: nn.Module) -> State:
    """A copy of its tensors."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def misses(game: LoadedGame) -> list[str]:
    """Whether the recipe, with everybody's rows, gives about the utility that the model has."""
    utility = game.utilities[:1]
    none, full = measure_endpoints(game, NoUnlearning(), utility).primary_utilities
    again = measure(game, RetrainUnlearner(), everybody(len(game.players)), utility)
    (retrained,) = again[utility[0].name]
    if abs(retrained - full) <= OFF * abs(full - none):
        return []
    return [
        f"trained by section pretrain on all rows, the model has {utility[0].name} "
        f"{retrained:.4g}, and the given one {full:.4g}: that is not how it was trained, so the "
        "check judges the unlearning of another model"
    ]
