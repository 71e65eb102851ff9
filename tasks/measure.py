"""Task: measure one chunk, the unit that is kept, resumed and retried."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from prefect import task

from tasks.evaluate import evaluate
from tasks.load import Source
from tasks.memo import Known, Memory
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
    forgotten: Sequence[Mapping[str, str]],
    plan: str,
) -> dict[str, Any]:
    """Unlearn the chunk's coalitions as one batch of models, evaluate it, keep the utilities.

    known: coalitions that other plans have measured, which are not measured again; forgotten: by
    whom this one is found again, as `unshapley.measurement.forgotten` gives it; plan: in words.
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
            found[one] = Memory(values, again[i] if again else [], plan)
    content = {
        "asked": list(utilities),
        "plan": plan,
        "forgotten": list(forgotten),
        "utilities": {
            n: [found[one].utilities[n] for one in bits] for n in found[bits[0]].utilities
        },
        "resampled": [found[one].resampled for one in bits if found[one].resampled],
    }
    recalled = Counter(known[one].origin for one in bits if one in known)
    seconds = {"unlearn": unlearned - start, "evaluate": time.perf_counter() - unlearned}
    return {**seal(content), "recalled": dict(recalled), "seconds": seconds}
