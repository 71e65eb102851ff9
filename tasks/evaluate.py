"""Task: measure the utilities of a batch of unlearned models."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.load import Source, inputs_of
from unshapley.batching import State
from unshapley.coalitions import from_bits
from unshapley.measurement import Resampled, Utilities, checked, evaluate_resampled
from unshapley.unlearning import Unlearner


@task(name="evaluate", cache_policy=NO_CACHE, persist_result=False)
def evaluate(
    source: Source,
    unlearner: Unlearner,
    utilities: Sequence[str],
    bits: Sequence[str],
    batch: State,
) -> tuple[Utilities, Resampled]:
    """Utilities of a chunk's models, the first also on bootstrap samples of the test rows.

    Raises `UnshapleyError` for a model that is not finite.
    """
    coalitions = from_bits(bits)
    found, again = evaluate_resampled(inputs_of(source), batch, utilities, coalitions)
    return checked(found, unlearner, coalitions), again
