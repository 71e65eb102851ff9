"""Coalitions measured chunk by chunk, each a task whose result is kept."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from flows.runtime.kept_tasks import chunk_progress, run_kept
from flows.valuation_steps.planning import MeasuringPlan
from flows.valuation_steps.run import ValuationRun
from tasks.measure import measure
from tasks.recall import RETRAINED, TRIED, recall, result_name
from unshapley import environment
from unshapley.files import digest
from unshapley.game.coalitions import Coalitions, batches_by_size, keys
from unshapley.game.keys import chunk_key, forgotten_of, game_key, hashes_of_forgotten_rows
from unshapley.game.measuring import Measured, unpacked
from unshapley.game.memory import chunk_size
from unshapley.unlearning import Unlearner

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


def measure_chunks(
    run: ValuationRun,
    plan: MeasuringPlan,
    coalitions: Coalitions,
    series: Series,
    *,
    unlearner: Unlearner | None = None,
    size: int | None = None,
    tracked: bool = False,
) -> Measured:
    """Utilities of coalitions `(m, n)` in their order, whatever order the chunks finish in.

    unlearner, size: others than those of the plan, or of the kind of series; tracked: count the
    chunks in run.json, and show progress.
    """
    unlearner = unlearner or plan.unlearner
    if size is None and (most := AT_MOST.get(series.kind)) is not None:
        size = min(most, chunk_size(plan.game, unlearner, coalitions, run.params.valuation))
    size = size or plan.chunk_size
    batches = batches_by_size(coalitions, size)
    parts = [coalitions[batch] for batch in batches]
    calls = _calls(run, plan, parts, series, unlearner, size)
    with chunk_progress(len(calls), size) if tracked else nullcontext() as advance:

        def done(result: dict[str, Any], resumed: bool) -> None:
            if advance:
                run.tracker.chunk(result, resumed=resumed)
                advance()

        results = run_kept(measure, calls, run.project.results, run.params.run, run.runner, done)
    contents = [results[i]["content"] for i in calls]
    order = np.concatenate(batches)
    columns = {
        name: [u for content in contents for u in content["utilities"][name]]
        for name in contents[0]["utilities"]
    }
    samples = [
        row
        for content, part in zip(contents, parts, strict=True)
        for row in unpacked(content["resampled"], len(part))
    ]
    return Measured(coalitions[order], columns, samples).take(np.argsort(order))


def chunk_of_each(coalitions: Coalitions, size: int) -> list[int]:
    """Number of the chunk that measures each coalition, from 0."""
    ids = np.empty(len(coalitions), dtype=int)
    for i, batch in enumerate(batches_by_size(coalitions, size)):
        ids[batch] = i
    return [int(i) for i in ids]


def _calls(
    run: ValuationRun,
    plan: MeasuringPlan,
    parts: list[Coalitions],
    series: Series,
    unlearner: Unlearner,
    size: int,
) -> dict[int, dict[str, Any]]:
    """Arguments of the task for every chunk, with what other plans have measured of it."""
    columns, numerics = plan.source.utilities, environment.numerics(plan.source.device)
    game = game_key(plan.game, unlearner, plan.game.utilities, numerics)
    row_hashes = hashes_of_forgotten_rows(plan.game, unlearner)
    tag = digest([series.name, series.seed, row_hashes, size])[:8]  # other chunks, another plan
    calls: dict[int, dict[str, Any]] = {}
    for i, part in enumerate(parts):
        forgotten = forgotten_of(part, row_hashes)
        calls[i] = {
            "source": plan.source,
            "unlearner": unlearner,
            "coalitions": part,
            "chunk": i,
            "key": result_name(series.kind, game, tag, chunk_key(game, forgotten, columns)),
            "recalled": {},
            "forgotten": forgotten,
            "plan": series.describe(list(row_hashes)),
        }
    results = run.project.results
    missing = [call for call in calls.values() if not (results / call["key"]).is_file()]
    if missing:
        planned = set(keys(plan.plan.coalitions))
        recalled = recall(results, game, tag, row_hashes, columns, planned)
        for call in missing:
            known = keys(call["coalitions"])
            call["recalled"] = {key: recalled[key] for key in known if key in recalled}
    return calls
