"""Measure the utility of coalitions: unlearn a chunk as one batch of models, then evaluate it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unshapley.batching import State
from unshapley.coalitions import Coalitions, to_bits
from unshapley.errors import UnshapleyError
from unshapley.files import digest
from unshapley.game import Game
from unshapley.inputs import Inputs
from unshapley.training import deterministic
from unshapley.unlearning import Unlearner
from unshapley.utilities import evaluate, flat, resampled, source_of_utilities

log = logging.getLogger("unshapley.measure")

Utilities = dict[str, list[float]]
"""Utility name → one value a coalition `(m,)`."""
Resampled = list[list[float]]
"""The first utility of each coalition on bootstrap samples of the test rows `(m, samples)`; empty
where the utility is a function of the user's own."""


def unlearn(game: Game, unlearner: Unlearner, coalitions: Coalitions) -> State:
    """The models of a chunk: tensors that differ from the pretrained model `(m, …)`."""
    deterministic()
    # functional_call swaps tensors in and out of the module it runs: threads must not share one
    pretrained = replace(game.pretrained, model=deepcopy(game.pretrained.model))
    return unlearner(pretrained, game.staying(coalitions))


def evaluate_batch(
    game: Game, batch: State, names: Sequence[str], coalitions: Coalitions | None = None
) -> Utilities:
    """Utilities of a batch of models on the test set; a model that is not finite is no score.

    A model that answers every test row alike is scored, and named in the log by its coalition.
    """
    outputs, y = _outputs(game, batch, coalitions)
    return evaluate(names, outputs, y, game.classes)


def evaluate_resampled(
    game: Game, batch: State, names: Sequence[str], coalitions: Coalitions | None = None
) -> tuple[Utilities, Resampled]:
    """The same, and the first utility on bootstrap samples of the test rows."""
    outputs, y = _outputs(game, batch, coalitions)
    again = resampled(names[0], outputs, y)
    return evaluate(names, outputs, y, game.classes), [] if again is None else again.tolist()


def _outputs(game: Game, batch: State, coalitions: Coalitions | None) -> tuple[Tensor, Tensor]:
    deterministic()
    pretrained = replace(game.pretrained, model=deepcopy(game.pretrained.model))
    outputs, y = replace(game, pretrained=pretrained).outputs(batch)
    if coalitions is not None:
        for bits in to_bits(coalitions[flat(outputs)]):
            log.warning("coalition %s: the model answers every test row alike", bits)
    return outputs, y


def measure(
    game: Game, unlearner: Unlearner, coalitions: Coalitions, names: Sequence[str]
) -> Utilities:
    """Unlearn and evaluate; raises `UnshapleyError` naming coalitions whose model diverged."""
    batch = unlearn(game, unlearner, coalitions)
    return checked(evaluate_batch(game, batch, names, coalitions), unlearner, coalitions)


def checked(utilities: Utilities, unlearner: Unlearner, coalitions: Coalitions) -> Utilities:
    """`utilities` as they are; `UnshapleyError` if any is not finite."""
    bad: NDArray[np.bool_] = ~np.all(np.isfinite(list(utilities.values())), axis=0)
    if bad.any():
        named = to_bits(coalitions[bad])
        raise UnshapleyError(
            f"{unlearner.name} gave {bad.sum()} of {len(bad)} models that are not finite, "
            f"for coalitions {', '.join(named[:10])}{' …' if len(named) > 10 else ''}\n"
            "  do: lower the unlearner's learning rate, or raise its damping"
        )
    return utilities


def measure_endpoints(game: Game, unlearner: Unlearner, names: Sequence[str]) -> Utilities:
    """Utilities of nobody and of everybody, in this order.

    U(all) is the pretrained model. U(none) is the model at its recorded initialisation; where some
    providers always stay, it is every player forgotten.
    """
    return measure_endpoints_resampled(game, unlearner, names)[0]


def measure_endpoints_resampled(
    game: Game, unlearner: Unlearner, names: Sequence[str]
) -> tuple[Utilities, Resampled]:
    """The same, and the first utility on bootstrap samples of the test rows."""
    nobody = np.zeros((1, len(game.players)), dtype=bool)
    initial = _batch_of_one(game.pretrained.initial)
    alone = unlearn(game, unlearner, nobody) if game.partial else initial
    none, none_again = evaluate_resampled(game, alone, names)
    checked(none, unlearner, nobody)
    everybody, all_again = evaluate_resampled(game, _batch_of_one(game.pretrained.trained), names)
    return {name: none[name] + everybody[name] for name in none}, none_again + all_again


def game_key(
    inputs: Inputs, unlearner: Unlearner, names: Sequence[str], environment: Mapping[str, Any]
) -> str:
    """Content key of a game: all that utilities depend on but which of them, and who is forgotten.

    Nor who plays: the model for a coalition is the same whoever else could have been forgotten.
    environment: versions, device, threads and source hash, as `environment.numerics` gives them.
    """
    record = inputs.record
    return digest(
        {
            "providers": inputs.providers,
            "rows": record.rows,
            "partitions": {} if _by_forgotten(unlearner) else _rows_read(inputs, unlearner),
            "labels": [inputs.classes, inputs.label_mean, inputs.label_scale],
            "statistics": [value for _, value in inputs.statistics],
            "model": record.files,
            "recipe": record.recipe.model_dump(mode="json"),
            "architecture": record.architecture_source,
            "test": record.test,
            "reference": record.reference,
            "unlearner": unlearner.described(),
            "own_utilities": source_of_utilities(names),
            "environment": environment,
        }
    )


def forgotten_rows(inputs: Inputs, unlearner: Unlearner) -> dict[str, str]:
    """Of every player, the hash of the rows that are read only where it is forgotten.

    Empty hashes for an unlearner that reads no rows, or those of providers that stay as well.
    """
    read = inputs.record.partitions if _by_forgotten(unlearner) else {}
    return {player: read.get(player, "") for player in inputs.players}


def forgotten(bits: Sequence[str], rows: Mapping[str, str]) -> list[dict[str, str]]:
    """Who is forgotten for each coalition, with the hash of the rows that this reads.

    rows: the players in their order, as `forgotten_rows` gives them.
    """
    return [
        {player: read for (player, read), bit in zip(rows.items(), one, strict=True) if bit == "0"}
        for one in bits
    ]


def chunk_key(game: str, gone: Sequence[Mapping[str, str]], names: Sequence[str]) -> str:
    """Content key of a chunk of a game: everything that its utilities depend on, nothing else.

    gone: of each coalition, as `forgotten` gives it.
    """
    return digest([game, list(gone), list(names)])


def _by_forgotten(unlearner: Unlearner) -> bool:
    """Whether of all rows only those are read that are forgotten."""
    return unlearner.retain_free and unlearner.reads_rows


def _rows_read(inputs: Inputs, unlearner: Unlearner) -> dict[str, str]:
    return inputs.record.partitions if unlearner.reads_rows else {}


def _batch_of_one(state: State) -> State:
    return {name: tensor.unsqueeze(0) for name, tensor in state.items()}
