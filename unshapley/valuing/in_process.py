"""The steps of a valuation in this process, on a few threads; nothing is stored."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unshapley.config import Params
from unshapley.estimators import Estimate, Plan
from unshapley.estimators.base import Floats, Ints
from unshapley.fidelity import correction
from unshapley.fidelity.comparison import Retrained, UnlearnedValues, compare
from unshapley.fidelity.correction import Correction
from unshapley.fidelity.gate import Fidelity
from unshapley.game.coalitions import Coalitions
from unshapley.game.kept import Kept
from unshapley.game.measuring import Measured, measure_batch
from unshapley.progress import Phases, silent_phases
from unshapley.results.valuation import estimate_values
from unshapley.unlearning import Unlearner
from unshapley.valuing.execution import PLANNED, RETRAINED, TRIED, Series, in_chunks
from unshapley.valuing.planning import MeasuringPlan

NAMES = {PLANNED: "measuring", RETRAINED: "retraining", TRIED: "trying"}
"""What is done with the coalitions of a series, for its progress."""


@dataclass(frozen=True)
class InProcess:
    """An `Execution` whose chunks are measured by `run.workers` threads of this process."""

    params: Params
    phases: Phases = silent_phases

    def step(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()

    def measuring(self, setup: MeasuringPlan) -> AbstractContextManager[None]:
        return nullcontext()

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
        chunks = in_chunks(setup, coalitions, series, self.params.valuation, unlearner, size)
        game = setup.game

        def measured(part: Coalitions) -> Measured:
            return measure_batch(game, chunks.unlearner, part, game.utilities)[0]

        progress = self.phases(NAMES[series.kind], "coalitions")
        with progress(len(coalitions)) as advance, _threads(self.params.run.workers) as threads:
            futures = [threads.submit(measured, chunks.part(i)) for i in range(len(chunks))]
            for future in as_completed(futures):
                advance(len(future.result()))
        return chunks.joined([future.result() for future in futures])

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
        return correction.correct(
            plan, kept, unlearned, retrained, exact, seed, vanishing=vanishing
        )

    def aggregate(
        self, plan: Plan, measured: Measured, endpoints: Measured, correction: Correction | None
    ) -> Estimate:
        return estimate_values(plan, measured, endpoints, correction=correction)

    def check(
        self,
        values: UnlearnedValues,
        retrained: Retrained,
        seed: int,
        correction: Correction | None = None,
    ) -> Fidelity:
        return compare(values, retrained, seed, correction)


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that begin nothing more once an error, or the user, has ended the work."""
    threads = ThreadPoolExecutor(count, thread_name_prefix="unshapley")
    try:
        yield threads
    finally:
        threads.shutdown(cancel_futures=True)
