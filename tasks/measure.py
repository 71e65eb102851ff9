"""Task: measure a chunk. Results are stored, resumed and retried chunk by chunk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from prefect import task
from prefect.runtime import task_run

from tasks.engine import Engine
from tasks.worker import GameSource, measure_chunk
from unshapley.files import seal
from unshapley.game.coalitions import Coalitions
from unshapley.game.keys import Forgotten
from unshapley.game.measuring import CachedUtilities
from unshapley.unlearning import Unlearner


@task(name="measure", task_run_name="measure chunk {chunk}")
def measure(
    engine: Engine,
    source: GameSource,
    unlearner: Unlearner,
    coalitions: Coalitions,
    chunk: int,
    key: str,
    recalled: CachedUtilities,
    forgotten: Sequence[Forgotten],
    plan: str,
    own_code: str,
) -> dict[str, Any]:
    """Unlearn the coalitions of a chunk as one batch of models, and measure their utilities.

    engine: carries it out; key: names the stored result; recalled: utilities that other plans have
    measured, which are not measured again; forgotten: the forgotten providers of each coalition, by
    which later runs find its utilities; plan: description of the plan in words; own_code: as
    `own_code_of` gives it.
    """
    measured, seconds = engine.call(
        measure_chunk, source, unlearner, coalitions, recalled, own_code
    )
    content = {
        "asked": list(source.utilities),
        "plan": plan,
        "forgotten": list(forgotten),
        **measured,
    }
    plans = Counter(entry.plan for entry in recalled.values())
    attempts = task_run.run_count or 1
    return {**seal(content), "recalled": dict(plans), "seconds": seconds, "attempts": attempts}
