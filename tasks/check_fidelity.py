"""Task: compare unlearned with retrained utilities of a few coalitions."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from unshapley.fidelity import gate
from unshapley.fidelity.gate import Fidelity
from unshapley.game.coalitions import Coalitions
from unshapley.game.measuring import Measured


@task(name="check fidelity", cache_policy=NO_CACHE, persist_result=False)
def check_fidelity(
    coalitions: Coalitions,
    retrained: Sequence[float],
    unlearned: Sequence[float],
    endpoints: Measured,
    reason: str = "",
) -> Fidelity:
    """The verdict for the primary utility; reason: why no coalition is compared."""
    _, full = endpoints.primary_utilities
    return gate.check_fidelity(coalitions, retrained, unlearned, full, reason)
