"""Coalitions measured chunk by chunk, each a task whose result is kept."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from flows.runtime.kept_tasks import chunk_progress, run_kept
from flows.valuation_steps.planning import MeasuringPlan
from flows.valuation_steps.run import ValuationRun
from tasks.measure import measure
from tasks.recall import recall, result_name
from unshapley import environment
from unshapley.files import digest
from unshapley.game.coalitions import Coalitions, batches_by_size, keys
from unshapley.game.keys import chunk_key, forgotten_of, game_key, rows_read_to_forget
from unshapley.game.measuring import Measured
from unshapley.unlearning import Unlearner


@dataclass(frozen=True)
class Series:
    """What coalitions are a beginning of: the same series again continues with the same chunks.

    kind: how the files of its kept results begin; name, seed: of the plan.
    """

    kind: str
    name: str
    seed: int


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

    unlearner, size: others than those of the plan; tracked: count the chunks in run.json, and show
    progress.
    """
    unlearner, size = unlearner or plan.unlearner, size or plan.size
    batches = batches_by_size(coalitions, size)
    calls = _calls(run, plan, [coalitions[batch] for batch in batches], series, unlearner)
    with chunk_progress(len(calls), size) if tracked else nullcontext() as advance:

        def done(result: dict[str, Any], cached: bool) -> None:
            if advance:
                run.tracker.chunk(result, cached=cached)
                advance()

        results = run_kept(measure, calls, run.project.results, run.params.run, run.runner, done)
    contents = [results[i]["content"] for i in calls]
    order = np.concatenate(batches)
    columns = {
        name: [u for content in contents for u in content["utilities"][name]]
        for name in contents[0]["utilities"]
    }
    samples = [row for content in contents for row in content["resampled"]]
    return Measured(coalitions[order], columns, samples).take(np.argsort(order))


def _calls(
    run: ValuationRun,
    plan: MeasuringPlan,
    parts: list[Coalitions],
    series: Series,
    unlearner: Unlearner,
) -> dict[int, dict[str, Any]]:
    """Arguments of the task for every chunk."""
    columns, numerics = plan.source.utilities, environment.numerics(plan.source.device)
    game = game_key(plan.game, unlearner, plan.game.utilities, numerics)
    rows = rows_read_to_forget(plan.game, unlearner)
    tag = digest([series.name, series.seed, rows])[:8]
    cached = recall(run.project.results, game, tag, rows, columns)
    words = f"{series.name} with seed {series.seed}, players {', '.join(rows)}"
    calls = {}
    for i, part in enumerate(parts):
        forgotten = forgotten_of(part, rows)
        calls[i] = {
            "source": plan.source,
            "unlearner": unlearner,
            "coalitions": part,
            "chunk": i,
            "key": result_name(series.kind, game, tag, chunk_key(game, forgotten, columns)),
            "cached": {key: cached[key] for key in keys(part) if key in cached},
            "forgotten": forgotten,
            "plan": words,
        }
    return calls
