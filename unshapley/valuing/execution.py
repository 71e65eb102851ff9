"""How the steps of a valuation are carried out; the same numbers come of every way."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from unshapley.config import Params, ValuationSettings
from unshapley.estimators import Estimate, Plan
from unshapley.estimators.base import Floats, Ints
from unshapley.fidelity.comparison import Retrained, UnlearnedValues
from unshapley.fidelity.correction import Correction
from unshapley.fidelity.gate import Fidelity
from unshapley.game.coalitions import Coalitions, batches_by_size
from unshapley.game.kept import Kept
from unshapley.game.measuring import Measured
from unshapley.game.memory import chunk_size
from unshapley.unlearning import Unlearner
from unshapley.valuing.planning import MeasuringPlan

PLANNED, RETRAINED, TRIED = "chunk", "retrained", "tried"
"""Kinds of chunks: of a plan, of coalitions that are retrained to check, correct or calibrate
unlearning, and of those on which calibration tries a candidate."""
AT_MOST = {RETRAINED: 8, TRIED: 16}
"""Coalitions of a chunk that does not belong to the plan: they are few, and all workers should have
some. A task takes a tenth of a second beside its work, which is little beside retraining."""


@dataclass(frozen=True)
class Series:
    """Names a sequence of coalitions: the same series continued measures the same chunks again.

    kind: `PLANNED`, `RETRAINED` or `TRIED`; name, seed: of the plan.
    """

    kind: str
    name: str
    seed: int

    def describe(self, players: Sequence[str]) -> str:
        """In words, for run.json."""
        return f"{self.name} with seed {self.seed}, players {', '.join(players)}"


class Execution(Protocol):
    """Carries out the parts of a valuation that take time."""

    @property
    def params(self) -> Params: ...

    def step(self, name: str) -> AbstractContextManager[None]:
        """Around a step, whose time may be taken."""

    def measuring(self, setup: MeasuringPlan) -> AbstractContextManager[None]:
        """Around the measuring of a plan, whose progress may be shown."""

    def measure(
        self,
        setup: MeasuringPlan,
        coalitions: Coalitions,
        series: Series,
        *,
        unlearner: Unlearner | None = None,
        size: int | None = None,
        tracked: bool = False,
    ) -> Measured:
        """Utilities of coalitions `(m, n)` in their order, whatever order the chunks finish in.

        unlearner, size: others than those of the plan, or of the kind of series; tracked: count it
        as progress. Raises `UnshapleyError` naming coalitions whose model diverged.
        """

    def correct(
        self,
        plan: Coalitions,
        kept: Kept,
        unlearned: Floats,
        retrained: tuple[Ints, Floats],
        exact: NDArray[np.bool_],
        seed: int,
        *,
        vanishing: bool,
    ) -> Correction:
        """As `fidelity.correction.correct`."""

    def aggregate(
        self, plan: Plan, measured: Measured, endpoints: Measured, correction: Correction | None
    ) -> Estimate:
        """As `results.valuation.estimate_values`."""

    def check(
        self,
        values: UnlearnedValues,
        retrained: Retrained,
        seed: int,
        correction: Correction | None = None,
    ) -> Fidelity:
        """As `fidelity.comparison.compare`."""


@dataclass(frozen=True)
class Chunks:
    """Coalitions `(m, n)` cut into chunks, by which unlearner and of which size.

    batches: indices of the coalitions of every chunk.
    """

    coalitions: Coalitions
    unlearner: Unlearner
    size: int
    batches: list[NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.batches)

    def part(self, number: int) -> Coalitions:
        """The coalitions of a chunk."""
        return self.coalitions[self.batches[number]]

    def joined(self, measured: Sequence[Measured]) -> Measured:
        """What was measured of every chunk, as one, in the order of the coalitions."""
        order = np.concatenate(self.batches)
        columns = {
            name: [u for part in measured for u in part.utilities[name]]
            for name in measured[0].utilities
        }
        samples = np.concatenate([part.resampled for part in measured])
        return Measured(self.coalitions[order], columns, samples).take(np.argsort(order))


def in_chunks(
    setup: MeasuringPlan,
    coalitions: Coalitions,
    series: Series,
    settings: ValuationSettings,
    unlearner: Unlearner | None = None,
    size: int | None = None,
) -> Chunks:
    """The chunks of coalitions; the arguments are those of `Execution.measure`."""
    unlearner = unlearner or setup.unlearner
    if size is None and (most := AT_MOST.get(series.kind)) is not None:
        size = min(most, chunk_size(setup.game, unlearner, coalitions, settings))
    size = size or setup.chunk_size
    return Chunks(coalitions, unlearner, size, batches_by_size(coalitions, size))


def chunk_of_each(coalitions: Coalitions, size: int) -> list[int]:
    """Number of the chunk that measures each coalition, from 0."""
    ids = np.empty(len(coalitions), dtype=int)
    for i, batch in enumerate(batches_by_size(coalitions, size)):
        ids[batch] = i
    return [int(i) for i in ids]
