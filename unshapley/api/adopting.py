"""A game in memory of a model that the user has trained."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from unshapley.api.games import as_recorded
from unshapley.api.tables import Tables
from unshapley.config import Params
from unshapley.data.tables import TEXT
from unshapley.errors import InputError
from unshapley.files import digest
from unshapley.game.adopting import adopt, fresh_words, misses, state_of
from unshapley.game.constants import CONSTANT_WORDS, constant_state
from unshapley.game.loading import LoadedGame
from unshapley.models.building import fresh_state, usable
from unshapley.models.converted import Converted
from unshapley.models.pretrained import Pretrained
from unshapley.models.tensors import hash_of_state
from unshapley.origin import Origin


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
    `params.pretrain` is how it was trained; estimator: of scikit-learn that it was converted from.
    """

    module: nn.Module
    initial: Mapping[str, Tensor] | None
    recipe_known: bool
    estimator: Converted | None = None

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
    module, recipe = adopted.module, params.pretrain
    if adopted.estimator is None:
        tables = _with_outputs_as_classes(module, tables)
    else:
        fitted = adopted.estimator.fitted_to(tables.schema.features, tables.schema.classes)
        module = fitted.module()
        if not adopted.recipe_known:
            decay = fitted.decay(sum(len(y) for _, y in tables.partitions.values()))
            recipe = recipe.model_copy(update={"weight_decay": decay})

    def ready(module: nn.Module) -> nn.Module:
        sizes, text = (tables.schema.inputs, tables.schema.outputs), tables.schema.task == TEXT
        return usable(_reshaped(module, tables.shape), adopted.name, *sizes, text=text)

    model, seed = ready(_on_cpu(module)), params.pretrain.seed
    pretrained = adopt(
        model,
        state_of(model),
        tables.partitions,
        tables.reference,
        recipe,
        recipe_known=adopted.recipe_known,
        initialise=lambda other: fresh_state(model, other),
        test=tables.test,
    )
    pretrained, initial, findings = _with_initial(adopted, pretrained, ready, seed)
    origin = Origin(
        name=adopted.name if adopted.estimator is None else adopted.estimator.name,
        sha256=hash_of_state(pretrained.trained),
        kind="module" if adopted.estimator is None else "scikit-learn",
        initial=initial,
        recipe_known=adopted.recipe_known,
    )
    game = as_recorded(pretrained, tables, params, players, needs, adopted.source, origin)
    if adopted.recipe_known:
        findings += misses(game)
    return game, findings


def _with_initial(
    adopted: Adopted, pretrained: Pretrained, ready: Callable[[nn.Module], nn.Module], seed: int
) -> tuple[Pretrained, str, list[str]]:
    """With what stands for U(none), in words too, and that nobody has said so."""
    if adopted.initial is not None:
        start = _on_cpu(adopted.module)
        _load(start, adopted.initial)
        given = replace(pretrained, initial=state_of(ready(start)))
        return given, "the given weights before training", []
    fresh = replace(pretrained, initial=fresh_state(pretrained.model, seed))
    if adopted.estimator is not None and adopted.estimator.linear:
        constant = replace(pretrained, initial=constant_state(fresh))
        return (
            constant,
            CONSTANT_WORDS,
            ["U(none) is that of the best constant: no weights before training count"],
        )
    return (
        fresh,
        fresh_words(seed),
        [
            "the weights of the model before training were not given: U(none) is that of new ones, "
            f"drawn by seed {seed}; pass initial=state_dict if you have them"
        ],
    )


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
    if len(shape) != 2 or not shape[1]:
        raise InputError(
            f"gives outputs of shape {tuple(shape)} for two rows",
            where="model",
            expected="(rows, classes): one logit for every class, or (rows, 1) for two classes",
        )
    return max(2, int(shape[1]))


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
