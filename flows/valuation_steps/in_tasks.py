"""The steps of a valuation as Prefect tasks; a chunk is a task whose result is kept."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.runtime.arguments import unvisited
from flows.runtime.kept_tasks import Call, chunk_progress, run_kept
from flows.runtime.memory import resident_mb
from flows.runtime.observing.instruments import PENDING, chunk_done
from flows.valuation_steps.run import ValuationRun
from tasks.aggregate import aggregate
from tasks.check_fidelity import check_fidelity
from tasks.correct import correct
from tasks.measure import measure
from tasks.recall import recall, result_name
from tasks.worker import GameSource, own_code_of
from unshapley import environment
from unshapley.config import Params
from unshapley.estimators import Estimate, Plan
from unshapley.estimators.base import Floats, Ints
from unshapley.fidelity.comparison import Retrained, UnlearnedValues
from unshapley.fidelity.correction import Correction
from unshapley.fidelity.gate import Fidelity
from unshapley.files import digest
from unshapley.game.coalitions import Coalitions, keys
from unshapley.game.kept import Kept
from unshapley.game.keys import chunk_key, forgotten_of, game_key, hashes_of_forgotten_rows
from unshapley.game.measuring import CachedUtilities, Measured, unpacked
from unshapley.unlearning import Unlearner
from unshapley.valuing.execution import Chunks, Series, in_chunks
from unshapley.valuing.planning import MeasuringPlan

log = logging.getLogger("unshapley.run")


@dataclass(frozen=True)
class InTasks:
    """An `Execution` by tasks of a run, whose workers load the game of `source`."""

    run: ValuationRun
    source: GameSource

    @property
    def params(self) -> Params:
        return self.run.params

    def step(self, name: str) -> AbstractContextManager[None]:
        return self.run.tracker.step(name)

    @contextmanager
    def measuring(self, setup: MeasuringPlan) -> Iterator[None]:
        tracker = self.run.tracker
        with self.step("measure"):
            tracker.before_mb, tracker.estimated_mb = resident_mb(), setup.chunk_mb
            yield
        log.info(
            "%d chunks computed, %d resumed; %d coalitions recalled from other plans",
            tracker.computed,
            tracker.resumed,
            tracker.recalled.total(),
        )

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
        run = self.run
        chunks = in_chunks(setup, coalitions, series, run.params.valuation, unlearner, size)
        labels = {**run.tracker.labels, "series": series.kind, "unlearner": chunks.unlearner.name}
        PENDING.add(len(chunks), {"project": labels["project"]})
        by_chunk: dict[int, Measured] = {}
        with chunk_progress(len(chunks), chunks.size) if tracked else nullcontext() as advance:

            def take(number: int, result: dict[str, Any], resumed: bool) -> None:
                content, part = result["content"], chunks.part(number)
                samples = unpacked(content["resampled"], len(part))
                by_chunk[number] = Measured(part, content["utilities"], samples)
                chunk_done(result, len(part), resumed=resumed, labels=labels)
                if advance:
                    run.tracker.chunk(result, resumed=resumed)
                    advance()

            call = self._calls(setup, series, chunks)
            results = run.project.results
            run_kept(measure, len(chunks), call, results, run.params.run, run.workers, take)
        return chunks.joined([by_chunk[number] for number in range(len(chunks))])

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
        return correct(plan, kept, unlearned, retrained, exact, seed, vanishing=vanishing)

    def aggregate(
        self, plan: Plan, measured: Measured, endpoints: Measured, correction: Correction | None
    ) -> Estimate:
        return aggregate(
            unvisited(plan), unvisited(measured), unvisited(endpoints), unvisited(correction)
        )

    def check(
        self,
        values: UnlearnedValues,
        retrained: Retrained,
        seed: int,
        correction: Correction | None = None,
    ) -> Fidelity:
        return check_fidelity(unvisited(values), unvisited(retrained), seed, unvisited(correction))

    def _calls(self, setup: MeasuringPlan, series: Series, chunks: Chunks) -> Call:
        """Arguments of the task for a chunk, with what other plans have measured of it."""
        unlearner, columns = chunks.unlearner, self.source.utilities
        numerics = environment.numerics(self.source.device)
        game = game_key(setup.game, unlearner, setup.game.utilities, numerics)
        row_hashes = hashes_of_forgotten_rows(setup.game, unlearner)
        own_code = own_code_of(unlearner, setup.game.utilities)
        # other chunks, another plan
        tag = digest([series.name, series.seed, row_hashes, chunks.size])[:8]
        results = self.run.project.results

        @cache
        def recalled() -> CachedUtilities:
            """Read when the first chunk is missing: before any of this plan is measured."""
            planned = set(keys(setup.plan.coalitions))
            return recall(results, game, tag, row_hashes, columns, planned)

        def call(number: int) -> dict[str, Any]:
            part = chunks.part(number)
            forgotten = forgotten_of(part, row_hashes)
            key = result_name(series.kind, game, tag, chunk_key(game, forgotten, columns))
            others = {} if (results / key).is_file() else recalled()
            return {
                "engine": self.run.workers.engine,
                "own_code": own_code,
                "source": self.source,
                "unlearner": unlearner,
                "coalitions": part,
                "chunk": number,
                "key": key,
                "recalled": {name: others[name] for name in keys(part) if name in others},
                "forgotten": forgotten,
                "plan": series.describe(list(row_hashes)),
            }

        return call
