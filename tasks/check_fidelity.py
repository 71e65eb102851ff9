"""Task: compare what unlearning says of a few coalitions with their real retraining."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from unshapley.fidelity import Fidelity, compare


@task(name="check fidelity", cache_policy=NO_CACHE, persist_result=False)
def check_fidelity(
    bits: Sequence[str],
    retrained: Sequence[float],
    unlearned: Sequence[float],
    full: float,
    reason: str = "",
) -> Fidelity:
    """The verdict on the primary utility; `full` is U(all), `reason` why nothing is compared."""
    return compare(bits, retrained, unlearned, full, reason)
