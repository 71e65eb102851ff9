"""Step: measure the plan, round by round, until it is done or enough is known."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from unshapley.config import ValuationSettings
from unshapley.errors import InputError
from unshapley.estimators import Plan, make_plan
from unshapley.estimators.sampling import LISTED
from unshapley.estimators.stopping import reached, rounds
from unshapley.files import digest
from unshapley.game.coalitions import WINDOW, Coalitions, positions, to_bits
from unshapley.game.measuring import Measured, measure_endpoints
from unshapley.results.valuation import estimate_values
from unshapley.valuing.execution import PLANNED, Execution, Series, chunk_of_each
from unshapley.valuing.planning import MeasuringPlan

log = logging.getLogger("unshapley.run")

CALIBRATED = -2
"""In place of a chunk's number: the coalition was retrained by calibration."""


@dataclass(frozen=True)
class MeasuredPlan:
    """What was measured.

    setup: of which game, how; plan: shortened to what was measured of it; measured: its coalitions;
    endpoints: U(none) and U(all); chunk_ids: chunk of every coalition `(m,)`, `CALIBRATED` for what
    calibration had retrained.
    """

    setup: MeasuringPlan
    plan: Plan
    measured: Measured
    endpoints: Measured
    chunk_ids: tuple[int, ...]

    @property
    def exact(self) -> NDArray[np.bool_]:
        """Which coalitions were really retrained `(m,)`."""
        exact = self.setup.exact[: len(self.plan.coalitions)].copy()
        if self.setup.calibration is not None:
            rows = self.setup.calibration.extra
            exact[rows[rows < len(exact)]] = True
        return exact


def measure_plan(execution: Execution, setup: MeasuringPlan) -> MeasuredPlan:
    """Measure U(none), U(all) and the coalitions of the plan, until a rule of `valuation.stop` is
    met.

    Raises `UnshapleyError` naming coalitions whose model diverged.
    """
    with execution.measuring(setup):
        endpoints = measure_endpoints(setup.game, setup.unlearner, setup.game.utilities)
        plan, measured, ids = _measure_rounds(execution, setup, endpoints)
    return MeasuredPlan(setup, plan, measured, endpoints, ids)


def _measure_rounds(
    execution: Execution, setup: MeasuringPlan, endpoints: Measured
) -> tuple[Plan, Measured, tuple[int, ...]]:
    """The plan of what was measured, with the reason why it ended, its utilities and chunks."""
    settings, plan = execution.params.valuation, setup.plan
    begin, measured, rule_checked = time.monotonic(), None, False
    ids: tuple[int, ...] = ()
    ends = _ends_of_rounds(setup, settings)
    for end in ends:
        part = plan.coalitions[len(measured) if measured else 0 : end]
        new, chunks = _measure_part(execution, setup, part)
        ids += tuple(i if i == CALIBRATED else i + max((-1, *ids)) + 1 for i in chunks)
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
            return replace(interim, reason=why), so_far, ids[: len(so_far)]
    assert measured is not None
    if len(ends) > 1 and not rule_checked:
        why = "no part of this plan gives values that valuation.stop could check"
        plan = replace(plan, reason=f"{plan.reason}; {why}")
    return plan, measured, ids


def _ends_of_rounds(setup: MeasuringPlan, settings: ValuationSettings) -> list[int]:
    """Coalitions of the plan that are known by the end of each round.

    Rounds are whole windows of those that calibration has not retrained, so that a run without
    rules continues with the same chunks.
    """
    plan, retrained = setup.plan.coalitions, setup.retrained
    known = np.zeros(len(plan), bool) if retrained is None else _stand_in(plan, retrained)
    new = np.flatnonzero(~known)
    ends = rounds(len(new), WINDOW * setup.chunk_size, settings.stop)
    return [*(int(new[end]) for end in ends[:-1]), len(plan)]


def _stand_in(coalitions: Coalitions, measured: Measured) -> NDArray[np.bool_]:
    known: NDArray[np.bool_] = positions(coalitions, measured.coalitions) >= 0
    return known


def _measure_part(
    execution: Execution, setup: MeasuringPlan, part: Coalitions
) -> tuple[Measured, list[int]]:
    """Utilities of some coalitions of the plan, and the chunk of each, counted from 0."""
    settings, retrained = execution.params.valuation, setup.retrained
    series_name = series_of(setup.plan)
    if retrained is None:
        series = Series(PLANNED, series_name, settings.seed)
        new = execution.measure(setup, part, series, tracked=True)
        return new, chunk_of_each(part, setup.chunk_size)
    known = positions(part, retrained.coalitions)
    both, ids = retrained.take(known[known >= 0]), np.full(len(part), CALIBRATED)
    missing = part[known < 0]
    if len(missing):
        # other coalitions than without calibration: another sequence of chunks
        without = digest(to_bits(retrained.coalitions))[:8]
        series = Series(PLANNED, f"{series_name} but {without}", settings.seed)
        both = both.joined(execution.measure(setup, missing, series, tracked=True))
        ids[known < 0] = chunk_of_each(missing, setup.chunk_size)
    return both.take(positions(part, both.coalitions)), ids.tolist()


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
