"""Step: really retrain a few coalitions, to check unlearning or to correct it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from unshapley.estimators import Estimate
from unshapley.estimators.base import Floats, Ints
from unshapley.fidelity.comparison import Retrained, affordable, unlearned_values
from unshapley.fidelity.correction import FEWEST, Correction, choose
from unshapley.fidelity.gate import (
    ALL_RETRAINED,
    NO_RECIPE,
    ROWS_ABSENT,
    Fidelity,
    nothing_compared,
)
from unshapley.game.coalitions import Coalitions, nobody
from unshapley.game.kept import kept_rows
from unshapley.game.measuring import Measured
from unshapley.game.work import flop_of_coalitions
from unshapley.results.valuation import utility_table
from unshapley.unlearning.retrain import RetrainUnlearner
from unshapley.valuing.execution import RETRAINED, Execution, Series
from unshapley.valuing.measuring import MeasuredPlan
from unshapley.valuing.planning import MeasuringPlan

log = logging.getLogger("unshapley.run")

TWICE = 8
"""Coalitions that are also retrained with another seed: what retraining itself varies by."""


@dataclass(frozen=True)
class RetrainingCheck:
    """What retraining a few coalitions has shown.

    estimate: the values; correction: what was learnt from retraining, if that was asked for;
    endpoints: U(none) and U(all); in a corrected partial game U(none) comes from retraining.
    """

    estimate: Estimate
    fidelity: Fidelity
    correction: Correction | None
    endpoints: Measured


def check_or_correct(execution: Execution, measured: MeasuredPlan) -> RetrainingCheck:
    """Estimate the values, and really retrain a few coalitions: to check unlearning or, if
    `correction.coalitions` is set, to correct it.

    Nothing is retrained if rows of providers are absent or the recipe is unknown, or if the whole
    plan was retrained.
    """
    game = measured.setup.game
    if not game.retrainable:
        reason = NO_RECIPE if game.all_rows else ROWS_ABSENT
        return _without_comparison(execution, measured, reason)
    if measured.exact.all():
        by_itself = measured.setup.exact.all()
        seed = execution.params.calibration.seed
        endpoints = measured.endpoints if by_itself else _with_true_none(execution, measured, seed)
        return _without_comparison(execution, measured, ALL_RETRAINED, endpoints=endpoints)
    if execution.params.correction.coalitions:
        return _correct(execution, measured)
    return _check(execution, measured)


def _without_comparison(
    execution: Execution,
    measured: MeasuredPlan,
    reason: str,
    correction: Correction | None = None,
    endpoints: Measured | None = None,
) -> RetrainingCheck:
    if reason:
        log.info(reason)
    endpoints = endpoints or measured.endpoints
    estimate = _estimate(execution, measured, endpoints, correction)
    _, full = endpoints.primary_utilities
    fidelity = nothing_compared(measured.plan.n, full, reason)
    return RetrainingCheck(estimate, fidelity, correction, endpoints)


def _check(execution: Execution, measured: MeasuredPlan) -> RetrainingCheck:
    """Retrain some of what was unlearned, drawn by the weight in the values; what calibration has
    retrained corrects the utilities before.
    """
    settings, setup, plan = execution.params.fidelity, measured.setup, measured.plan
    correction, endpoints = _by_calibration(execution, measured)
    if not settings.coalitions:
        return _without_comparison(execution, measured, "", correction, endpoints)
    game, exact = setup.game, measured.exact
    estimate = _estimate(execution, measured, endpoints, correction)
    table = utility_table(measured.measured, endpoints, endpoints.primary, correction)
    values = unlearned_values(game, setup.unlearner, exact, plan, table, estimate)
    retraining = flop_of_coalitions(game, RetrainUnlearner(), values.coalitions)
    measuring = flop_of_coalitions(game, setup.unlearner, plan.coalitions).sum()
    spent = setup.calibration.cost_share * _retraining_all(setup) if setup.calibration else 0.0
    order = values.drawn(settings.seed)
    rows = affordable(order, retraining, float(measuring), settings.coalitions, spent)
    retrained = _retrain_twice(execution, measured, values.coalitions, rows, settings.seed)
    with execution.step("check"):
        fidelity = execution.check(values, retrained, settings.seed)
    return RetrainingCheck(estimate, fidelity, correction, endpoints)


def _retraining_all(setup: MeasuringPlan) -> float:
    """Work of retraining the whole plan, also what a rule of `valuation.stop` has left out."""
    return float(flop_of_coalitions(setup.game, RetrainUnlearner(), setup.plan.coalitions).sum())


def _by_calibration(
    execution: Execution, measured: MeasuredPlan
) -> tuple[Correction | None, Measured]:
    """What calibration's retrainings correct, where cross-validation says that it helps, and the
    endpoints.
    """
    setup, plan = measured.setup, measured.plan.coalitions
    if setup.calibration is None or not setup.game.retrainable:
        return None, measured.endpoints
    found = setup.calibration.first(len(plan))
    if len(found.rows) < FEWEST:
        return None, measured.endpoints
    correction = execution.correct(
        plan,
        kept_rows(setup.game, plan),
        found.before(np.array(measured.measured.primary_utilities)),
        (found.rows, found.retrained),
        setup.exact[: len(plan)],
        execution.params.calibration.seed,
        vanishing=setup.unlearner.vanishes,
    )
    helps = found.is_improved_by(correction)
    log.info("correction by calibration: %s", "applied" if helps else "left out, it does not help")
    endpoints = _with_true_none(execution, measured, execution.params.calibration.seed)
    return correction if helps else None, endpoints


def _correct(execution: Execution, measured: MeasuredPlan) -> RetrainingCheck:
    """Retrain coalitions of the plan, and learn from them what unlearning misses."""
    setup, settings, exact = measured.setup, execution.params.correction, measured.exact
    plan = measured.plan
    chosen = choose(settings.coalitions, settings.seed, exact, plan.coalitions)
    in_table = np.vstack([nobody(plan.n), plan.coalitions])
    retrained = _retrain_twice(execution, measured, in_table, chosen + 1, settings.seed)
    unlearned = np.array(measured.measured.primary_utilities)
    learnt, itself = (chosen, retrained.utilities), exact
    if setup.calibration is not None:  # it is learnt from too
        found = setup.calibration.first(len(plan.coalitions))
        unlearned, itself = found.before(unlearned), setup.exact[: len(exact)]
        rows = np.concatenate([chosen, found.rows])
        order = np.argsort(rows)
        learnt = rows[order], np.concatenate([retrained.utilities, found.retrained])[order]
    correction = execution.correct(
        plan.coalitions,
        kept_rows(setup.game, plan.coalitions),
        unlearned,
        learnt,
        itself,
        settings.seed,
        vanishing=setup.unlearner.vanishes,
    )
    of_chosen = np.isin(learnt[0], chosen)
    correction = replace(correction, left_out=correction.left_out[of_chosen])
    endpoints = _with_true_none(execution, measured, settings.seed)
    estimate = _estimate(execution, measured, endpoints, correction)
    table = utility_table(measured.measured, endpoints, endpoints.primary, correction)
    values = unlearned_values(setup.game, setup.unlearner, exact, plan, table, estimate)
    with execution.step("check"):
        fidelity = execution.check(values, retrained, settings.seed, correction)
    return RetrainingCheck(estimate, fidelity, correction, endpoints)


def _with_true_none(execution: Execution, measured: MeasuredPlan, seed: int) -> Measured:
    """U(none) and U(all); in a partial game, where U(none) was unlearned like any other, the
    primary one of nobody comes from retraining.
    """
    endpoints = measured.endpoints
    if not measured.setup.game.partial:
        return endpoints
    none = _retrain(execution, measured, nobody(measured.plan.n), seed)
    columns = {**endpoints.utilities}
    columns[endpoints.primary] = [*none, endpoints.primary_utilities[1]]
    return replace(endpoints, utilities=columns)


def _retrain_twice(
    execution: Execution, measured: MeasuredPlan, coalitions: Coalitions, rows: Ints, seed: int
) -> Retrained:
    """Primary utilities of the coalitions at `rows`, by retraining; the first also with another
    seed.
    """
    other = measured.setup.game.pretrained.recipe.seed + 1
    return Retrained(
        rows,
        _retrain(execution, measured, coalitions[rows], seed),
        _retrain(execution, measured, coalitions[rows[:TWICE]], seed, RetrainUnlearner(seed=other)),
    )


def _retrain(
    execution: Execution,
    measured: MeasuredPlan,
    coalitions: Coalitions,
    seed: int,
    retrainer: RetrainUnlearner | None = None,
) -> Floats:
    """Primary utilities of coalitions that are really retrained `(k,)`."""
    with execution.step("retrain"):
        retrained = execution.measure(
            measured.setup,
            coalitions,
            Series(RETRAINED, "fidelity", seed),
            unlearner=retrainer or RetrainUnlearner(),
        )
    return np.array(retrained.primary_utilities)


def _estimate(
    execution: Execution,
    measured: MeasuredPlan,
    endpoints: Measured,
    correction: Correction | None,
) -> Estimate:
    """Values from the utilities of the plan; endpoints: U(none) and U(all)."""
    with execution.step("aggregate"):
        return execution.aggregate(measured.plan, measured.measured, endpoints, correction)
