"""Task: compare unlearned with retrained utilities of a few coalitions."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from unshapley.fidelity.comparison import Retrained, UnlearnedValues, compare
from unshapley.fidelity.correction import Correction
from unshapley.fidelity.gate import Fidelity


@task(name="check fidelity", cache_policy=NO_CACHE, persist_result=False)
def check_fidelity(
    values: UnlearnedValues, retrained: Retrained, seed: int, correction: Correction | None = None
) -> Fidelity:
    """The verdict for the primary utility, and what it implies for the values."""
    return compare(values, retrained, seed, correction)
