"""Step: measure the plan, round by round, until it is done or enough is known."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace

import numpy as np

from flows.runtime.memory import resident_mb
from flows.valuation_steps.chunks import Series, measure_chunks
from flows.valuation_steps.planning import MeasuringPlan
from flows.valuation_steps.run import ValuationRun
from tasks.recall import PLANNED
from unshapley.config import ValuationSettings
from unshapley.errors import InputError
from unshapley.estimators import Plan, make_plan
from unshapley.estimators.sampling import LISTED
from unshapley.estimators.stopping import reached, rounds
from unshapley.game.coalitions import WINDOW
from unshapley.game.measuring import Measured, measure_endpoints
from unshapley.results.valuation import estimate_values

log = logging.getLogger("unshapley.run")


@dataclass(frozen=True)
class MeasuredPlan:
    """What was measured.

    setup: of which game, how; plan: shortened to what was measured of it; measured: its coalitions;
    endpoints: U(none) and U(all).
    """

    setup: MeasuringPlan
    plan: Plan
    measured: Measured
    endpoints: Measured


def measure_plan(run: ValuationRun, setup: MeasuringPlan) -> MeasuredPlan:
    """Measure U(none), U(all) and the coalitions of the plan, until a rule of `valuation.stop` is
    met.

    Raises `UnshapleyError` naming coalitions whose model diverged.
    """
    with run.tracker.step("measure"):
        run.tracker.before_mb = resident_mb()
        endpoints = measure_endpoints(setup.game, setup.unlearner, setup.game.utilities)
        plan, measured = _measure_rounds(run, setup, endpoints)
    log.info(
        "%d chunks computed, %d resumed; %d coalitions recalled from other plans",
        run.tracker.computed,
        run.tracker.resumed,
        run.tracker.recalled.total(),
    )
    return MeasuredPlan(setup, plan, measured, endpoints)


def _measure_rounds(
    run: ValuationRun, setup: MeasuringPlan, endpoints: Measured
) -> tuple[Plan, Measured]:
    """The plan of what was measured, with the reason why it ended, and its utilities."""
    settings, plan = run.params.valuation, setup.plan
    begin, measured, rule_checked = time.monotonic(), None, False
    series = Series(PLANNED, series_of(plan), settings.seed)
    ends = rounds(len(plan.coalitions), WINDOW * setup.chunk_size, settings.stop)
    for end in ends:
        part = plan.coalitions[len(measured) if measured else 0 : end]
        new = measure_chunks(run, setup, part, series, tracked=True)
        measured = measured.joined(new) if measured else new
        interim = _interim_plan(settings, plan, end) if end < len(plan.coalitions) else None
        if interim is None:
            continue
        rule_checked, so_far = True, measured.first(len(interim.coalitions))
        estimate = estimate_values(interim, so_far, endpoints)
        reason = reached(settings.stop, estimate, time.monotonic() - begin)
        log.info("%d coalitions: %s", end, reason or "going on")
        if reason:
            why = f"{interim.reason}; stopped before {len(plan.coalitions)}, as {reason}"
            return replace(interim, reason=why), so_far
    assert measured is not None
    if len(ends) > 1 and not rule_checked:
        why = "no part of this plan gives values that valuation.stop could check"
        plan = replace(plan, reason=f"{plan.reason}; {why}")
    return plan, measured


def _interim_plan(settings: ValuationSettings, plan: Plan, count: int) -> Plan | None:
    """The plan of the first `count` coalitions; None where they give no values yet."""
    if not settings.stop.needs_interim_estimates:
        return None
    try:
        shorter = make_plan(settings.estimator, plan.n, count, settings.seed)
    except InputError:  # too few for an estimate as yet
        return None
    same = np.array_equal(shorter.coalitions, plan.coalitions[: len(shorter.coalitions)])
    return shorter if same else None  # all coalitions may be planned otherwise than a few are


def series_of(plan: Plan) -> str:
    """Name shared by plans that extend each other: up to `LISTED` providers, `exact` measures in
    the order of `gaussian_process`.
    """
    listed = plan.estimator == "exact" and plan.n <= LISTED
    return "gaussian_process" if listed else plan.estimator
