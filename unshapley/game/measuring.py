"""Measure the utilities of coalitions: unlearn them as one batch of models, then evaluate it."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unshapley.errors import UnshapleyError
from unshapley.game.coalitions import (
    Coalitions,
    everybody,
    keys,
    nobody,
    positions,
    to_bits,
)
from unshapley.game.game import Game
from unshapley.game.utilities import constant_models, evaluate
from unshapley.game.utility import Utility
from unshapley.models.batching import State, batch_of_one
from unshapley.models.pretrained import Pretrained
from unshapley.numerics import deterministic
from unshapley.unlearning import Unlearner

log = logging.getLogger("unshapley.measure")

Utilities = dict[str, list[float]]
"""Column → one value a coalition `(m,)`; a utility has one, or one for each class."""
Resampled = NDArray[np.float64]
"""The primary utility of each coalition on bootstrap samples of the test rows `(m, samples)`; no
samples where the utility is a function of the user's own."""


@dataclass(frozen=True)
class Measured:
    """Utilities of coalitions `(m, n)`; the primary one also on bootstrap samples of test rows."""

    coalitions: Coalitions
    utilities: Utilities
    resampled: Resampled

    def __len__(self) -> int:
        return len(self.coalitions)

    @property
    def primary(self) -> str:
        """Column of the primary utility."""
        return next(iter(self.utilities))

    @property
    def primary_utilities(self) -> list[float]:
        """The primary utility of each coalition `(m,)`."""
        return self.utilities[self.primary]

    def joined(self, other: Self) -> Self:
        """These coalitions, then the others."""
        return replace(
            self,
            coalitions=np.vstack([self.coalitions, other.coalitions]),
            utilities={n: [*v, *other.utilities[n]] for n, v in self.utilities.items()},
            resampled=np.vstack([self.resampled, other.resampled]),
        )

    def take(self, rows: NDArray[np.int64]) -> Self:
        """The coalitions at these rows, in their order."""
        return replace(
            self,
            coalitions=self.coalitions[rows],
            utilities={n: [values[i] for i in rows] for n, values in self.utilities.items()},
            resampled=self.resampled[rows],
        )

    def first(self, count: int) -> Self:
        """The first coalitions."""
        return self.take(np.arange(count))


def not_resampled(coalitions: Coalitions) -> Resampled:
    """No samples of any of these coalitions."""
    return np.empty((len(coalitions), 0))


def packed(resampled: Resampled) -> str:
    """Samples as text, to be stored: float64 in base64. As numbers in JSON, which is written and
    hashed, they took longer than everything else that is stored of a chunk.
    """
    return base64.b64encode(resampled.astype("<f8").tobytes()).decode("ascii")


def unpacked(text: str, count: int) -> Resampled:
    """The inverse of `packed`, for samples of `count` coalitions."""
    samples = np.frombuffer(base64.b64decode(text), dtype="<f8")
    return samples.reshape(count, -1 if text else 0)


class CachedUtility(NamedTuple):
    """What was measured of a coalition before: utilities by column, the primary one on bootstrap
    samples, and the plan that had it measured, in words.
    """

    utilities: dict[str, float]
    resampled: NDArray[np.float64]
    plan: str


CachedUtilities = Mapping[bytes, CachedUtility]
"""By key of the coalition, as `coalitions.keys` gives it."""


@deterministic()
def unlearn(game: Game, unlearner: Unlearner, coalitions: Coalitions) -> State:
    """The models of a batch: tensors that differ from the pretrained model `(m, …)`."""
    return unlearner(_with_own_module(game.pretrained), game.staying(coalitions))


@deterministic()
def predicted(game: Game, unlearner: Unlearner, coalitions: Coalitions) -> Tensor | None:
    """What an unlearner predicts of the answers on the test set without models; None if it gives
    models.
    """
    return unlearner.answers(_with_own_module(game.pretrained), game.staying(coalitions))


@deterministic()
def evaluate_batch(
    game: Game, batch: State, utilities: Sequence[Utility], coalitions: Coalitions
) -> Measured:
    """Utilities of a batch of models on the test set; a model that is not finite is no score.

    A model that answers every test row alike is scored, and named in the log by its coalition.
    """
    outputs, _ = replace(game, pretrained=_with_own_module(game.pretrained)).outputs(batch)
    return evaluate_answers(game, outputs, utilities, coalitions)


def _with_own_module(pretrained: Pretrained) -> Pretrained:
    """A copy whose module no other thread runs: functional_call swaps tensors in and out of it."""
    return replace(pretrained, model=deepcopy(pretrained.model))


def evaluate_answers(
    game: Game, outputs: Tensor, utilities: Sequence[Utility], coalitions: Coalitions
) -> Measured:
    """Utilities of what models answer on the test set, as `Game.outputs` gives it."""
    y = game.labels
    _warn_of_constant_models(outputs, coalitions)
    samples = utilities[0].resampled(outputs, y)
    return Measured(
        coalitions,
        evaluate(utilities, outputs, y, game.classes),
        not_resampled(coalitions) if samples is None else samples.double().cpu().numpy(),
    )


def _warn_of_constant_models(outputs: Tensor, coalitions: Coalitions) -> None:
    for bits in to_bits(coalitions[constant_models(outputs)]):
        log.warning("coalition %s: the model answers every test row alike", bits)


def measure_batch(
    game: Game, unlearner: Unlearner, coalitions: Coalitions, utilities: Sequence[Utility]
) -> tuple[Measured, dict[str, float]]:
    """Unlearn the coalitions as one batch of models and evaluate it; also the seconds of each step.

    Raises `UnshapleyError` naming coalitions whose model diverged.
    """
    start = time.perf_counter()
    outputs = predicted(game, unlearner, coalitions)
    batch = unlearn(game, unlearner, coalitions) if outputs is None else {}
    unlearned = time.perf_counter()
    if outputs is None:
        measured = evaluate_batch(game, batch, utilities, coalitions)
    else:
        measured = evaluate_answers(game, outputs, utilities, coalitions)
    check_finite(measured, unlearner)
    seconds = {"unlearn": unlearned - start, "evaluate": time.perf_counter() - unlearned}
    return measured, seconds


def measure_missing(
    game: Game,
    unlearner: Unlearner,
    coalitions: Coalitions,
    utilities: Sequence[Utility],
    cached: CachedUtilities,
) -> tuple[Measured, dict[str, float]]:
    """As `measure_batch`, where coalitions that are `cached` are not measured again."""
    names = keys(coalitions)
    missing = np.array([name not in cached for name in names])
    if missing.all():
        return measure_batch(game, unlearner, coalitions, utilities)
    recalled = _from_cache(coalitions[~missing], [cached[n] for n in names if n in cached])
    if not missing.any():
        return recalled, {"unlearn": 0.0, "evaluate": 0.0}
    measured, seconds = measure_batch(game, unlearner, coalitions[missing], utilities)
    both = measured.joined(recalled)
    return both.take(positions(coalitions, both.coalitions)), seconds


def _from_cache(coalitions: Coalitions, cached: Sequence[CachedUtility]) -> Measured:
    columns = {n: [entry.utilities[n] for entry in cached] for n in cached[0].utilities}
    return Measured(coalitions, columns, np.array([entry.resampled for entry in cached]))


def measure(
    game: Game, unlearner: Unlearner, coalitions: Coalitions, utilities: Sequence[Utility]
) -> Utilities:
    """Utilities of coalitions `(m, n)`; raises as `measure_batch` does."""
    return measure_batch(game, unlearner, coalitions, utilities)[0].utilities


def check_finite(measured: Measured, unlearner: Unlearner) -> None:
    """Raise `UnshapleyError` for models whose utilities are not finite."""
    finite = np.all(np.isfinite(list(measured.utilities.values())), axis=0)
    bad: NDArray[np.bool_] = ~finite
    if bad.any():
        names = to_bits(measured.coalitions[bad])
        raise UnshapleyError(
            f"{unlearner.name} gave {bad.sum()} of {len(bad)} models that are not finite, "
            f"for coalitions {', '.join(names[:10])}{' …' if len(names) > 10 else ''}\n"
            "  do: lower the unlearner's learning rate, or raise its damping"
        )


def measure_endpoints(game: Game, unlearner: Unlearner, utilities: Sequence[Utility]) -> Measured:
    """Utilities of nobody and of everybody, in this order.

    U(all) is the pretrained model. U(none) is the model at its recorded initialisation; where some
    providers always stay, it is every player forgotten.
    """
    none, full = nobody(len(game.players)), everybody(len(game.players))
    if game.partial:
        of_none, _ = measure_batch(game, unlearner, none, utilities)
    else:
        initial = batch_of_one(game.pretrained.initial)
        of_none = evaluate_batch(game, initial, utilities, none)
    check_finite(of_none, unlearner)
    of_all = evaluate_batch(game, batch_of_one(game.pretrained.trained), utilities, full)
    return of_none.joined(of_all)
