"""Task: compare unlearned with retrained utilities of a few coalitions."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from unshapley.fidelity import gate
from unshapley.fidelity.gate import Fidelity
from unshapley.game.coalitions import Coalitions


@task(name="check fidelity", cache_policy=NO_CACHE, persist_result=False)
def check_fidelity(
    coalitions: Coalitions,
    retrained: Sequence[float],
    unlearned: Sequence[float],
    full: float,
    reason: str = "",
) -> Fidelity:
    """The verdict for the primary utility; full: U(all); reason: why nothing is compared."""
    return gate.check_fidelity(coalitions, retrained, unlearned, full, reason)
