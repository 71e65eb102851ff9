"""Step: values from utilities."""

from __future__ import annotations

from flows.runtime.arguments import unvisited
from flows.valuation_steps.measuring import MeasuredPlan
from flows.valuation_steps.run import ValuationRun
from tasks.aggregate import aggregate
from unshapley.estimators import Estimate
from unshapley.fidelity.correction import Correction
from unshapley.game.measuring import Measured


def estimate_plan(
    run: ValuationRun,
    measured: MeasuredPlan,
    endpoints: Measured,
    correction: Correction | None = None,
) -> Estimate:
    """Values from the utilities of the plan; endpoints: U(none) and U(all)."""
    with run.tracker.step("aggregate"):
        return aggregate(
            unvisited(measured.plan),
            unvisited(measured.measured),
            unvisited(endpoints),
            unvisited(correction),
        )
