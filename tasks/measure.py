"""Task: measure one chunk, the unit that is kept, resumed and retried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from prefect import task

from tasks.load import WORKER, GameSource
from unshapley.files import seal
from unshapley.game.coalitions import Coalitions
from unshapley.game.keys import Forgotten
from unshapley.game.measuring import CachedUtilities, measure_missing
from unshapley.unlearning import Unlearner


@task(name="measure", task_run_name="measure chunk {chunk}")
def measure(
    source: GameSource,
    unlearner: Unlearner,
    coalitions: Coalitions,
    chunk: int,
    key: str,
    cached: CachedUtilities,
    forgotten: Sequence[Forgotten],
    plan: str,
) -> dict[str, Any]:
    """Unlearn the chunk's coalitions as one batch of models, evaluate it, keep the utilities.

    key: names the kept result; cached: coalitions that other plans have measured, which are not
    measured again; forgotten: who is forgotten for each, by which it is found again; plan: in
    words.
    """
    game = WORKER.load(source)
    measured, seconds = measure_missing(game, unlearner, coalitions, game.utilities, cached)
    content = {
        "asked": list(source.utilities),
        "plan": plan,
        "forgotten": list(forgotten),
        "utilities": measured.utilities,
        "resampled": measured.resampled,
    }
    recalled = Counter(entry.plan for entry in cached.values())
    return {**seal(content), "recalled": dict(recalled), "seconds": seconds}
