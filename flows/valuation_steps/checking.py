"""Step: really retrain a few coalitions, to check unlearning or to correct it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flows.valuation_steps.chunks import Series, measure_chunks
from flows.valuation_steps.measuring import MeasuredPlan
from flows.valuation_steps.run import ValuationRun
from tasks.check_fidelity import check_fidelity
from tasks.correct import correct
from tasks.recall import CHECKED, RETRAINED
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
    """What retraining a few coalitions has shown.

    correction: what was learnt from it, if that was asked for; endpoints: U(none) and U(all); in a
    corrected partial game U(none) comes from retraining.
    """

    fidelity: Fidelity
    correction: Correction | None
    endpoints: Measured


def check_or_correct(run: ValuationRun, measured: MeasuredPlan) -> RetrainingCheck:
    """Really retrain a few coalitions: to check unlearning or, if `correction.coalitions` is set,
    to correct it.

    Nothing is retrained if rows of providers are absent, or if the whole plan was retrained.
    """
    game, unlearner = measured.setup.game, measured.setup.unlearner
    with run.tracker.step("retrain"):
        if not game.all_rows:
            return _without_comparison(measured, ROWS_ABSENT)
        staying = game.staying(measured.plan.coalitions)
        exact = unlearner.exact(game.pretrained, staying).cpu().numpy()
        if exact.all():
            return _without_comparison(measured, ALL_RETRAINED)
        if run.params.correction.coalitions:
            return _correct(run, measured, exact)
        return _check(run, measured)


def _without_comparison(measured: MeasuredPlan, reason: str) -> RetrainingCheck:
    log.info(reason)
    none, endpoints = measured.plan.coalitions[:0], measured.endpoints
    return RetrainingCheck(check_fidelity(none, [], [], endpoints, reason), None, endpoints)


def _check(run: ValuationRun, measured: MeasuredPlan) -> RetrainingCheck:
    """Retrain coalitions of all sizes; those that the plan does not hold are unlearned too."""
    settings, endpoints = run.params.fidelity, measured.endpoints
    chosen = stratified(measured.plan.n, settings.coalitions, settings.seed)
    retrained: list[float] = []
    unlearned: list[float] = []
    if len(chosen):
        retrained = _retrain(run, measured, chosen, settings.seed)
        indices = positions(chosen, measured.measured.coalitions)
        utilities = measured.measured.primary_utilities
        missing = chosen[indices < 0]
        if len(missing):
            series = Series(CHECKED, "fidelity", settings.seed)
            size = _size(run, measured, chosen)
            extra = measure_chunks(run, measured.setup, missing, series, size=size)
            utilities = [*utilities, *extra.primary_utilities]
            indices[indices < 0] = np.arange(len(measured.measured), len(utilities))
        unlearned = [utilities[i] for i in indices]
    fidelity = check_fidelity(chosen, retrained, unlearned, endpoints)
    return RetrainingCheck(fidelity, None, endpoints)


def _correct(
    run: ValuationRun, measured: MeasuredPlan, exact: NDArray[np.bool_]
) -> RetrainingCheck:
    """Retrain coalitions of the plan, and learn from them what unlearning misses.

    The fidelity compares what each retrained coalition is corrected to by all others.
    """
    setup, settings, endpoints = measured.setup, run.params.correction, measured.endpoints
    indices = choose(settings.coalitions, settings.seed, exact, measured.plan.coalitions)
    chosen = measured.plan.coalitions[indices]
    retrained = _retrain(run, measured, chosen, settings.seed)
    correction = correct(
        setup.source,
        measured.plan.coalitions,
        np.array(measured.measured.primary_utilities),
        (indices, np.array(retrained)),
        exact,
        settings.seed,
    )
    fidelity = check_fidelity(chosen, retrained, correction.left_out.tolist(), endpoints)
    if setup.game.partial:  # there U(none) was unlearned like any other
        none = _retrain(run, measured, nobody(measured.plan.n), settings.seed)
        ends = [*none, endpoints.primary_utilities[1]]
        columns = {**endpoints.utilities, endpoints.primary: ends}
        endpoints = replace(endpoints, utilities=columns)
    return RetrainingCheck(fidelity, correction, endpoints)


def _retrain(
    run: ValuationRun, measured: MeasuredPlan, coalitions: Coalitions, seed: int
) -> list[float]:
    """Primary utilities of coalitions that are really retrained."""
    retrained = measure_chunks(
        run,
        measured.setup,
        coalitions,
        Series(RETRAINED, "fidelity", seed),
        unlearner=RetrainUnlearner(),
        size=_size(run, measured, coalitions),
    )
    return retrained.primary_utilities


def _size(run: ValuationRun, measured: MeasuredPlan, coalitions: Coalitions) -> int:
    settings, game = run.params.valuation, measured.setup.game
    return min(CHUNK, chunk_size(game, RetrainUnlearner(), coalitions, settings))
