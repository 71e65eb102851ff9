"""A game in memory of a model that the user has trained."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from unshapley.api.games import as_recorded
from unshapley.api.tables import Tables
from unshapley.config import Params
from unshapley.errors import InputError
from unshapley.files import digest
from unshapley.game.coalitions import everybody
from unshapley.game.loading import LoadedGame
from unshapley.game.measuring import measure, measure_endpoints
from unshapley.models.batching import State
from unshapley.models.building import fresh_state, usable
from unshapley.models.fitting import noise_of, together
from unshapley.models.pretrained import Pretrained
from unshapley.unlearning.none import NoUnlearning
from unshapley.unlearning.retrain import RetrainUnlearner

OFF = 0.1
"""Share of U(all) − U(none) by which retraining everybody may miss the model's utility."""


class Reshaped(nn.Module):
    """A module whose rows have a shape of their own; tables hold them flat."""

    def __init__(self, wrapped: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.wrapped, self.shape = wrapped, shape

    def forward(self, x: Tensor) -> Tensor:
        return self.wrapped(x.reshape(*x.shape[:-1], *self.shape))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Adopted:
    """A trained module, and what is known of its training.

    initial: its weights before training, if they were recorded; recipe_known: whether
    `params.pretrain` is how it was trained.
    """

    module: nn.Module
    initial: Mapping[str, Tensor] | None
    recipe_known: bool

    @property
    def name(self) -> str:
        kind = type(self.module)
        return f"{kind.__module__}:{kind.__qualname__}"

    @property
    def source(self) -> str:
        """Hash of what defines it: its layers, and the source of its class."""
        try:
            text = inspect.getsource(type(self.module))
        except (OSError, TypeError):
            text = self.name
        return digest([str(self.module), text])


def adopt_game(
    adopted: Adopted, tables: Tables, params: Params, players: Sequence[str], needs: str | None
) -> tuple[LoadedGame, list[str]]:
    """The game of a trained module on rows as they are, and what is to be known of it.

    Raises `InputError` for a module that cannot be used, labels that are not the numbers of its
    outputs, and weights before training that are not its own or cannot be drawn.
    """
    tables = _with_outputs_as_classes(adopted.module, tables)
    rows, counts = together(tables.partitions)
    module = _on_cpu(adopted.module)
    start = _on_cpu(adopted.module)
    if adopted.initial is not None:
        _load(start, adopted.initial)
    shape, outputs = tables.shape, tables.schema.outputs
    model = usable(_reshaped(module, shape), adopted.name, rows.x.shape[1], outputs)
    before = usable(_reshaped(start, shape), adopted.name, rows.x.shape[1], outputs)
    seed, given = params.pretrain.seed, adopted.initial is not None
    pretrained = Pretrained(
        model=model,
        trained=_state(model),
        initial=_state(before) if given else fresh_state(model, seed),
        recipe=params.pretrain,
        counts=counts,
        rows=rows,
        reference=tables.reference,
        noise=noise_of(model, rows),
        recipe_known=adopted.recipe_known,
        initialise=lambda other: fresh_state(model, other),
    )
    game = as_recorded(pretrained, tables, params, players, needs, adopted.source)
    findings = [] if given else [_fresh(seed)]
    if adopted.recipe_known:
        findings += _misses(game)
    return game, findings


def _fresh(seed: int) -> str:
    return (
        "the weights of the model before training were not given: U(none) is that of new ones, "
        f"drawn by seed {seed}; pass initial=state_dict if you have them"
    )


def _misses(game: LoadedGame) -> list[str]:
    """Whether the recipe, with everybody's rows, gives about the utility that the model has."""
    utility = game.utilities[:1]
    none, full = measure_endpoints(game, NoUnlearning(), utility).primary_utilities
    again = measure(game, RetrainUnlearner(), everybody(len(game.players)), utility)
    (retrained,) = again[utility[0].name]
    if abs(retrained - full) <= OFF * abs(full - none):
        return []
    return [
        f"trained by params.pretrain on all rows, the model has {utility[0].name} {retrained:.4g}, "
        f"and the given one {full:.4g}: that is not how it was trained, so the check judges the "
        "unlearning of another model"
    ]


def _with_outputs_as_classes(module: nn.Module, tables: Tables) -> Tables:
    """Class codes as the module has them: the number of its output for each."""
    schema = tables.schema
    if schema.task != "classification":
        return tables
    outputs = _outputs(module, tables)
    numbers = [int(name) if name.isascii() and name.isdigit() else -1 for name in schema.classes]
    wrong = [n for n, k in zip(schema.classes, numbers, strict=True) if not 0 <= k < outputs]
    if wrong:
        raise InputError(
            f"the label {wrong[0]!r} is no output of the model, which has {outputs}",
            where="data",
            expected=f"as labels the numbers of its outputs, 0 to {outputs - 1}, as which output "
            "means which word is not to be seen",
            do="replace every label by the number of its output",
        )
    codes = torch.tensor(numbers)
    named = replace(schema, classes=tuple(str(i) for i in range(outputs)))
    return replace(
        tables,
        schema=named,
        partitions={name: (x, codes[y]) for name, (x, y) in tables.partitions.items()},
        test=(tables.test[0], codes[tables.test[1]]),
        reference=(tables.reference[0], codes[tables.reference[1]]),
    )


def _outputs(module: nn.Module, tables: Tables) -> int:
    model = _reshaped(_on_cpu(module), tables.shape).eval()
    try:
        with torch.no_grad():
            shape = model(tables.test[0][:2]).shape
    except (RuntimeError, ValueError, TypeError) as error:
        raise InputError(
            f"cannot run on rows of shape {tables.shape}: {error}",
            where="model",
            expected="a float32 module that takes (rows, …) as the tables hold them",
        ) from None
    if len(shape) != 2 or shape[1] < 2:
        raise InputError(
            f"gives outputs of shape {tuple(shape)} for two rows",
            where="model",
            expected="(rows, classes): one logit for every class",
        )
    return int(shape[1])


def _on_cpu(module: nn.Module) -> nn.Module:
    """A copy, so that the user's module stays as it is."""
    return deepcopy(module).cpu()


def _reshaped(module: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    return module if len(shape) == 1 else Reshaped(module, shape)


def _load(module: nn.Module, state: Mapping[str, Any]) -> None:
    try:
        module.load_state_dict(dict(state))
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"are not weights of the model: {error}", where="initial", expected="its state_dict"
        ) from None


def _state(module: nn.Module) -> State:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
