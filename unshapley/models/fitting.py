"""Train the model of a recipe on the rows of all providers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from unshapley.config import PretrainSettings
from unshapley.errors import InputError
from unshapley.models.batching import State
from unshapley.models.building import build
from unshapley.models.losses import is_text, row_loss
from unshapley.models.pretrained import Pretrained
from unshapley.models.recipes import train_by_recipe
from unshapley.models.rows import Rows
from unshapley.models.training import stack
from unshapley.models.training_rows import TrainingRows
from unshapley.numerics import deterministic
from unshapley.progress import Progress, silent


@deterministic()
def fit(
    recipe: PretrainSettings,
    partitions: Mapping[str, Rows],
    reference: Rows,
    *,
    outputs: int,
    progress: Progress = silent,
) -> Pretrained:
    """Train the recipe's model on rows `{provider: (x, y)}`; `reference` standardises inputs, and
    stops training where the recipe has `patience`.

    outputs: number of outputs, one per class, or 1 for a numeric label; progress: of the steps.
    Raises `InputError` if there is no provider, one without rows, or an architecture that cannot be
    built.
    """
    rows, counts = together(partitions)
    model = _initial_model(recipe, rows.x.shape[1], outputs, reference)
    initial = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    rewind: dict[str, Tensor] = {}
    early = max(1, round(recipe.rewind * recipe.steps))
    with progress(recipe.steps) as advance:

        def stepped(count: int, theta: State) -> None:
            if count == early:
                rewind.update({name: tensor[0].detach().clone() for name, tensor in theta.items()})
            advance(1)

        everybody = torch.ones(1, len(counts), dtype=torch.bool)
        start = stack(initial, 1)
        result = train_by_recipe(model, start, rows, counts, everybody, recipe, reference, stepped)
    final = {**initial, **{name: tensor[0] for name, tensor in result.parameters.items()}}
    if result.steps[0] < early:  # it stopped before, and what came later is not to be kept
        rewind = final
    model.load_state_dict(final)
    return Pretrained(
        model=model,
        trained=final,
        initial=initial,
        recipe=recipe,
        counts=counts,
        rows=rows,
        reference=reference,
        rewind={**initial, **rewind},
        steps=int(result.steps[0]),
        noise=noise_of(model, rows),
    )


def together(partitions: Mapping[str, Rows]) -> tuple[TrainingRows, Tensor]:
    """Rows `{provider: (x, y)}` as one, and how many each provider has `(n,)`.

    Raises `InputError` if there is no provider, or one without rows.
    """
    empty = [provider for provider, (_, y) in partitions.items() if not len(y)]
    if empty or not partitions:
        raise InputError(
            f"provider {empty[0]!r} has no training row" if empty else "no provider to train on",
            expected="rows of every provider",
        )
    x = torch.cat([x for x, _ in partitions.values()])
    y = torch.cat([y for _, y in partitions.values()])
    counts = torch.tensor([len(y) for _, y in partitions.values()])
    return TrainingRows(x, y, torch.repeat_interleave(torch.arange(len(counts)), counts)), counts


def with_buffers(fresh: nn.Module, trained: State) -> State:
    """The parameters of a fresh module, and the buffers that the trained one has: they were set
    from data before training, as a mean and scale of its inputs are.
    """
    drawn = {name: tensor.detach().clone() for name, tensor in fresh.named_parameters()}
    return {name: drawn.get(name, tensor) for name, tensor in trained.items()}


def initialised(pretrained: Pretrained, seed: int) -> State:
    """The weights before training that another seed gives, on the device of the rows."""
    if pretrained.initialise is not None:
        state = pretrained.initialise(seed)
        return {name: tensor.to(pretrained.rows.x.device) for name, tensor in state.items()}
    recipe = pretrained.recipe.model_copy(update={"seed": seed})
    x, y = (tensor.cpu() for tensor in pretrained.reference)
    device = pretrained.rows.x.device
    with torch.no_grad():
        outputs = pretrained.model(pretrained.rows.x[:1]).shape[-1]
    state = _initial_model(recipe, x.shape[1], outputs, (x, y)).state_dict()
    return {name: tensor.to(device) for name, tensor in state.items()}


def _initial_model(
    recipe: PretrainSettings, features: int, outputs: int, reference: Rows
) -> nn.Module:
    """The recipe's model before training, with inputs standardised by the reference set."""
    model = build(
        recipe.architecture,
        in_features=features,
        classes=outputs,
        kwargs=recipe.kwargs,
        seed=recipe.seed,
        text=is_text(reference[1]),
    )
    standardise = getattr(model, "standardise", None)
    if callable(standardise):
        standardise(reference[0])
    return model


def noise_of(model: nn.Module, rows: TrainingRows) -> float:
    """Variance of the residuals of a trained model, 1 for classes."""
    if not rows.y.is_floating_point():
        return 1.0
    with torch.no_grad():
        return float(2 * row_loss(model(rows.x), rows.y).double().mean())
