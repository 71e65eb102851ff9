"""Task: values from utilities."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from unshapley.correction import Correction
from unshapley.estimators import Estimate, Plan
from unshapley.measurement import Resampled, Utilities
from unshapley.valuation import estimate_values


@task(name="aggregate", cache_policy=NO_CACHE, persist_result=False)
def aggregate(
    plan: Plan,
    players: Sequence[str],
    utilities: Utilities,
    endpoints: Utilities,
    primary: str,
    correction: Correction | None,
    resampled: Resampled,
) -> Estimate:
    """Values, standard errors and intervals of the players for the primary utility."""
    return estimate_values(plan, players, utilities, endpoints, primary, correction, resampled)
