"""Step: decide which coalitions are measured, by which unlearner, in chunks of which size."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from flows.valuation_steps.loading import OpenedGame
from flows.valuation_steps.run import ValuationRun
from tasks.load import GameSource
from unshapley.config import ValuationSettings
from unshapley.estimators import Plan, make_plan
from unshapley.estimators.stopping import affordable, check_rules, cost_reason
from unshapley.game.coalitions import Coalitions
from unshapley.game.game import Game
from unshapley.game.loading import LoadedGame
from unshapley.game.measuring import Measured, measure_endpoints
from unshapley.game.memory import bytes_per_coalition, chunk_size
from unshapley.unlearning import Unlearner

log = logging.getLogger("unshapley.run")

REPRESENTATIVE = 1024
"""Coalitions by which an unlearner is fitted, whatever the budget."""


@dataclass(frozen=True)
class MeasuringPlan:
    """All that is to be measured.

    unlearner: with its options resolved for the game; size: coalitions a chunk; endpoints: nobody
    and everybody, which are measured already.
    """

    source: GameSource
    game: LoadedGame
    plan: Plan
    unlearner: Unlearner
    size: int
    endpoints: Measured


def plan_measuring(run: ValuationRun, opened: OpenedGame) -> MeasuringPlan:
    """Raises `InputError` for an estimator that needs a larger budget, or too little memory."""
    settings, game = run.params.valuation, opened.game
    with run.tracker.step("plan"):
        plan = _plan(settings, len(game.players))
        # by the game, never by the budget, so that a larger one continues with the same chunks
        fitting = representative(settings, plan.n)
        unlearner = opened.unlearner.fitted(game.pretrained, game.staying(fitting))
        size, bytes_each = _chunks(game, unlearner, settings)
        run.tracker.estimated_mb = min(size, len(plan.coalitions)) * bytes_each / 2**20
        endpoints = measure_endpoints(game, unlearner, game.utilities)
    log.info("estimator %s: %s", plan.estimator, plan.reason)
    log.info("unlearner %s: %s", *unlearner.described())
    log.info("chunks of %d coalitions, about %.0f MiB each", size, run.tracker.estimated_mb)
    return MeasuringPlan(opened.source, game, plan, unlearner, size, endpoints)


def _plan(settings: ValuationSettings, n: int) -> Plan:
    budget = affordable(settings.budget, settings.stop)
    plan = make_plan(settings.estimator, n, budget, settings.seed)
    check_rules(settings.stop, settings.estimator, n)
    return replace(plan, reason=plan.reason + cost_reason(settings.stop, settings.budget))


def representative(settings: ValuationSettings, n: int) -> Coalitions:
    """Coalitions by which an unlearner is fitted `(at most REPRESENTATIVE, n)`: all where they are
    few, else the first of the estimator's plans. The budget decides nothing.
    """
    everything = 2**n - 2
    if everything <= REPRESENTATIVE:
        return make_plan("exact", n, everything, settings.seed).coalitions
    estimator = "auto" if settings.estimator == "exact" else settings.estimator
    budget = affordable(settings.budget, settings.stop)
    enough = min(max(REPRESENTATIVE, budget), everything - 1)
    return make_plan(estimator, n, enough, settings.seed).coalitions[:REPRESENTATIVE]


def _chunks(game: Game, unlearner: Unlearner, settings: ValuationSettings) -> tuple[int, int]:
    """Coalitions a chunk, and bytes that the costliest of all coalitions takes: of a size 1, or
    n − 1.
    """
    alone = np.eye(len(game.players), dtype=bool)
    costliest = np.vstack([alone, ~alone])
    return (
        chunk_size(game, unlearner, costliest, settings),
        bytes_per_coalition(game, unlearner, costliest),
    )
