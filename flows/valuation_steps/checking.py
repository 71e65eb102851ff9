"""Step: really retrain a few coalitions, to check unlearning or to correct it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from flows.valuation_steps.chunks import Series, measure_chunks
from flows.valuation_steps.measuring import MeasuredPlan
from flows.valuation_steps.run import ValuationRun
from tasks.check_fidelity import check_fidelity
from tasks.correct import correct
from unshapley.fidelity.correction import Correction, choose
from unshapley.fidelity.gate import ALL_RETRAINED, ROWS_ABSENT, Fidelity, stratified
from unshapley.game.coalitions import Coalitions, nobody, positions
from unshapley.game.measuring import Measured
from unshapley.game.memory import chunk_size
from unshapley.unlearning.retrain import RetrainUnlearner

log = logging.getLogger("unshapley.run")

CHUNK = 8
"""Retrained coalitions of a chunk: each takes long, so chunks are small."""


@dataclass(frozen=True)
class RetrainingCheck:
    """How unlearning compares with retraining, what was learnt from it, and the endpoints, of which
    nobody is really retrained in a corrected partial game.
    """

    fidelity: Fidelity
    correction: Correction | None
    endpoints: Measured


def check_against_retraining(run: ValuationRun, measured: MeasuredPlan) -> RetrainingCheck:
    """Nothing is retrained where rows of providers are absent, nor where the whole plan was."""
    game, unlearner = measured.plan.game, measured.plan.unlearner
    plan = measured.plan.plan.coalitions
    with run.tracker.step("retrain"):
        if not game.all_rows:
            return _unchecked(measured, ROWS_ABSENT)
        exact = unlearner.exact(game.pretrained, game.staying(plan)).cpu().numpy()
        if exact.all():
            return _unchecked(measured, ALL_RETRAINED)
        if run.params.correction.coalitions:
            return _correct(run, measured, exact)
        return _check(run, measured)


def _unchecked(measured: MeasuredPlan, reason: str) -> RetrainingCheck:
    log.info(reason)
    none, endpoints = measured.plan.plan.coalitions[:0], measured.plan.endpoints
    fidelity = check_fidelity(none, [], [], _full(endpoints), reason)
    return RetrainingCheck(fidelity, None, endpoints)


def _check(run: ValuationRun, measured: MeasuredPlan) -> RetrainingCheck:
    """Retrain coalitions of all sizes; those that the plan does not hold are unlearned too."""
    plan, settings = measured.plan, run.params.fidelity
    chosen = stratified(plan.plan.n, settings.coalitions, settings.seed)
    retrained: list[float] = []
    unlearned: list[float] = []
    if len(chosen):
        retrained = _retrain(run, measured, chosen, settings.seed)
        rows = positions(chosen, measured.measured.coalitions)
        known = measured.measured.utilities[measured.measured.primary]
        missing = chosen[rows < 0]
        if len(missing):
            series = Series("checked", "fidelity", settings.seed)
            size = _size(run, measured, chosen)
            extra = measure_chunks(run, plan, missing, series, size=size)
            known = [*known, *extra.utilities[extra.primary]]
            rows[rows < 0] = np.arange(len(measured.measured), len(known))
        unlearned = [known[row] for row in rows]
    fidelity = check_fidelity(chosen, retrained, unlearned, _full(plan.endpoints))
    return RetrainingCheck(fidelity, None, plan.endpoints)


def _correct(run: ValuationRun, measured: MeasuredPlan, exact: np.ndarray) -> RetrainingCheck:
    """Retrain coalitions of the plan, and learn from them what unlearning misses.

    What counts as unlearned of a retrained coalition is what the others correct it to.
    """
    plan, settings, endpoints = measured.plan, run.params.correction, measured.plan.endpoints
    rows = choose(settings.coalitions, settings.seed, exact, plan.plan.coalitions)
    chosen = plan.plan.coalitions[rows]
    retrained = _retrain(run, measured, chosen, settings.seed)
    correction = correct(
        plan.source,
        plan.unlearner,
        plan.plan.coalitions,
        np.array(measured.measured.utilities[measured.measured.primary]),
        (rows, np.array(retrained)),
        settings.seed,
    )
    if plan.game.partial:  # there U(none) was unlearned like any other
        of_none = _retrain(run, measured, nobody(plan.plan.n), settings.seed)[0]
        primary = endpoints.primary
        ends = {**endpoints.utilities, primary: [of_none, _full(endpoints)]}
        endpoints = replace(endpoints, utilities=ends)
    fidelity = check_fidelity(
        chosen, retrained, correction.left_out.tolist(), _full(plan.endpoints)
    )
    return RetrainingCheck(fidelity, correction, endpoints)


def _retrain(
    run: ValuationRun, plan: MeasuredPlan, coalitions: Coalitions, seed: int
) -> list[float]:
    """Primary utilities of coalitions that are really retrained."""
    measured = measure_chunks(
        run,
        plan.plan,
        coalitions,
        Series("retrained", "fidelity", seed),
        unlearner=RetrainUnlearner(),
        size=_size(run, plan, coalitions),
    )
    return measured.utilities[measured.primary]


def _size(run: ValuationRun, plan: MeasuredPlan, coalitions: Coalitions) -> int:
    fit = chunk_size(plan.plan.game, RetrainUnlearner(), coalitions, run.params.valuation)
    return min(fit, CHUNK)


def _full(endpoints: Measured) -> float:
    """U(all)."""
    return endpoints.utilities[endpoints.primary][1]
