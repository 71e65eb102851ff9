"""The steps of a valuation as Prefect tasks; a chunk is a task whose result is kept."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.runtime.arguments import unvisited
from flows.runtime.kept_tasks import chunk_progress, run_kept
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
from unshapley.game.keys import chunk_key, forgotten_of, game_key, hashes_of_forgotten_rows
from unshapley.game.measuring import Measured, unpacked
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
        parts = chunks.parts
        calls = self._calls(setup, parts, series, chunks)
        labels = {**run.tracker.labels, "series": series.kind, "unlearner": chunks.unlearner.name}
        PENDING.add(len(calls), {"project": labels["project"]})
        with chunk_progress(len(calls), chunks.size) if tracked else nullcontext() as advance:

            def done(result: dict[str, Any], resumed: bool) -> None:
                measured = len(result["content"]["forgotten"])
                chunk_done(result, measured, resumed=resumed, labels=labels)
                if advance:
                    run.tracker.chunk(result, resumed=resumed)
                    advance()

            results = run_kept(
                measure, calls, run.project.results, run.params.run, run.workers.runner, done
            )
        contents = [results[i]["content"] for i in calls]
        return chunks.joined(
            [
                Measured(part, content["utilities"], unpacked(content["resampled"], len(part)))
                for content, part in zip(contents, parts, strict=True)
            ]
        )

    def correct(
        self,
        plan: Coalitions,
        shares: Floats,
        unlearned: Floats,
        retrained: tuple[Ints, Floats],
        exact: NDArray[np.bool_],
        seed: int,
        *,
        vanishing: bool,
    ) -> Correction:
        return correct(plan, shares, unlearned, retrained, exact, seed, vanishing=vanishing)

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

    def _calls(
        self, setup: MeasuringPlan, parts: list[Coalitions], series: Series, chunks: Chunks
    ) -> dict[int, dict[str, Any]]:
        """Arguments of the task for every chunk, with what other plans have measured of it."""
        unlearner, columns = chunks.unlearner, self.source.utilities
        numerics = environment.numerics(self.source.device)
        game = game_key(setup.game, unlearner, setup.game.utilities, numerics)
        row_hashes = hashes_of_forgotten_rows(setup.game, unlearner)
        own_code = own_code_of(unlearner, setup.game.utilities)
        # other chunks, another plan
        tag = digest([series.name, series.seed, row_hashes, chunks.size])[:8]
        calls: dict[int, dict[str, Any]] = {}
        for i, part in enumerate(parts):
            forgotten = forgotten_of(part, row_hashes)
            calls[i] = {
                "engine": self.run.workers.engine,
                "own_code": own_code,
                "source": self.source,
                "unlearner": unlearner,
                "coalitions": part,
                "chunk": i,
                "key": result_name(series.kind, game, tag, chunk_key(game, forgotten, columns)),
                "recalled": {},
                "forgotten": forgotten,
                "plan": series.describe(list(row_hashes)),
            }
        results = self.run.project.results
        missing = [call for call in calls.values() if not (results / call["key"]).is_file()]
        if missing:
            planned = set(keys(setup.plan.coalitions))
            recalled = recall(results, game, tag, row_hashes, columns, planned)
            for call in missing:
                known = keys(call["coalitions"])
                call["recalled"] = {key: recalled[key] for key in known if key in recalled}
        return calls
