"""Task: values from utilities."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from unshapley.estimators import Estimate, Plan
from unshapley.fidelity.correction import Correction
from unshapley.game.measuring import Measured
from unshapley.results.valuation import estimate_values


@task(name="aggregate", cache_policy=NO_CACHE, persist_result=False)
def aggregate(
    plan: Plan, measured: Measured, endpoints: Measured, correction: Correction | None
) -> Estimate:
    """Values, standard errors and intervals of the players for the primary utility."""
    return estimate_values(plan, measured, endpoints, correction=correction)
