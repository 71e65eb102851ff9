"""Task: measure a chunk. Results are stored, resumed and retried chunk by chunk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from prefect import task

from tasks.load import WORKER, GameSource
from unshapley.files import seal
from unshapley.game.coalitions import Coalitions
from unshapley.game.keys import Forgotten
from unshapley.game.measuring import CachedUtilities, measure_missing, packed
from unshapley.unlearning import Unlearner


@task(name="measure", task_run_name="measure chunk {chunk}")
def measure(
    source: GameSource,
    unlearner: Unlearner,
    coalitions: Coalitions,
    chunk: int,
    key: str,
    recalled: CachedUtilities,
    forgotten: Sequence[Forgotten],
    plan: str,
) -> dict[str, Any]:
    """Unlearn the coalitions of a chunk as one batch of models, and measure their utilities.

    key: names the stored result; recalled: utilities that other plans have measured, which are not
    measured again; forgotten: the forgotten providers of each coalition, by which later runs find
    its utilities; plan: description of the plan in words.
    """
    game = WORKER.load(source)
    measured, seconds = measure_missing(game, unlearner, coalitions, game.utilities, recalled)
    content = {
        "asked": list(source.utilities),
        "plan": plan,
        "forgotten": list(forgotten),
        "utilities": measured.utilities,
        "resampled": packed(measured.resampled),
    }
    plans = Counter(entry.plan for entry in recalled.values())
    return {**seal(content), "recalled": dict(plans), "seconds": seconds}
