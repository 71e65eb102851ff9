"""Task: measure one chunk, the unit that is kept, resumed and retried."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from prefect import task

from tasks.evaluate import evaluate
from tasks.load import Source
from tasks.memo import Known
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
    known: Known,
) -> dict[str, Any]:
    """Unlearn the chunk's coalitions as one batch of models, evaluate it, keep the utilities.

    known: coalitions that other plans have measured, which are not measured again.
    """
    start = unlearned = time.perf_counter()
    new = [one for one in bits if one not in known]
    found = dict(known)
    if new:
        batch = unlearn(source, unlearner, new)
        unlearned = time.perf_counter()
        fresh, again = evaluate(source, unlearner, utilities, new, batch)
        for i, one in enumerate(new):
            values = {name: measured[i] for name, measured in fresh.items()}
            found[one] = values, again[i] if again else []
    content = {
        "asked": list(utilities),
        "bits": list(bits),
        "utilities": {name: [found[one][0][name] for one in bits] for name in found[bits[0]][0]},
        "resampled": [found[one][1] for one in bits if found[one][1]],
    }
    seconds = {"unlearn": unlearned - start, "evaluate": time.perf_counter() - unlearned}
    return {**seal(content), "recalled": len(bits) - len(new), "seconds": seconds}
