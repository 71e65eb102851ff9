"""Task: measure one chunk, the unit that is kept, resumed and retried."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from prefect import task

from tasks.evaluate import evaluate
from tasks.load import Source
from tasks.options import seal
from tasks.unlearn import unlearn
from unshapley.unlearning import Unlearner


@task(name="measure", task_run_name="measure chunk {chunk}")
def measure(
    source: Source,
    unlearner: Unlearner,
    utilities: Sequence[str],
    chunk: int,
    bits: Sequence[str],
    key: str,
) -> dict[str, Any]:
    """Unlearn the chunk's coalitions as one batch of models, evaluate it, keep the utilities."""
    start = time.perf_counter()
    batch = unlearn(source, unlearner, bits)
    unlearned = time.perf_counter()
    found, again = evaluate(source, unlearner, utilities, bits, batch)
    seconds = {"unlearn": unlearned - start, "evaluate": time.perf_counter() - unlearned}
    return {**seal({"utilities": found, "resampled": again}), "seconds": seconds}
