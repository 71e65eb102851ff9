"""Step: choose which coalitions are measured, by which unlearner, in chunks of which size."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from unshapley.config import ValuationSettings
from unshapley.estimators import Plan, make_plan
from unshapley.estimators.stopping import affordable, check_rules, cost_reason
from unshapley.fidelity.calibration import Calibration
from unshapley.game.coalitions import Coalitions
from unshapley.game.game import Game
from unshapley.game.loading import LoadedGame
from unshapley.game.measuring import Measured
from unshapley.game.memory import bytes_per_coalition, chunk_size
from unshapley.game.work import coalitions_worth
from unshapley.unlearning import Unlearner
from unshapley.unlearning.auto import AutoUnlearner

log = logging.getLogger("unshapley.run")

FITTED_ON = 1024
"""Coalitions by which an unlearner resolves its options, whatever the budget."""


@dataclass(frozen=True)
class MeasuringPlan:
    """Which coalitions are measured, of which game, how.

    plan: the coalitions; fitting: those by which options are resolved; unlearner: with its options
    resolved for the game; chunk_size: coalitions per chunk; chunk_mb: estimate of its memory in
    MiB; calibration: how `auto` chose; retrained: what was measured for it by retraining.
    """

    game: LoadedGame
    unlearner: Unlearner
    plan: Plan
    fitting: Coalitions
    chunk_size: int = 1
    chunk_mb: float = 0.0
    calibration: Calibration | None = None
    retrained: Measured | None = None

    @property
    def exact(self) -> NDArray[np.bool_]:
        """Which coalitions of the plan the unlearner really retrains itself `(m,)`."""
        staying = self.game.staying(self.plan.coalitions)
        exact: NDArray[np.bool_] = self.unlearner.exact(self.game.pretrained, staying).cpu().numpy()
        return exact


def plan_coalitions(
    game: LoadedGame, unlearner: Unlearner, settings: ValuationSettings
) -> MeasuringPlan:
    """Choose the coalitions and the size of chunks, and resolve the unlearner's options.

    Raises `InputError` for an estimator that needs a larger budget, or too little memory.
    """
    plan = _plan(settings, len(game.players))
    log.info("estimator %s: %s", plan.estimator, plan.reason)
    fitting = fitting_coalitions(settings, plan.n)
    unlearner = unlearner.fitted(game.pretrained, game.staying(fitting))
    return with_chunk_size(MeasuringPlan(game, unlearner, plan, fitting), settings)


def with_chunk_size(setup: MeasuringPlan, settings: ValuationSettings) -> MeasuringPlan:
    """The same with chunks of a size that suits its unlearner."""
    size, bytes_each = _chunk_size(setup.game, setup.unlearner, settings, setup.fitting)
    chunk_mb = min(size, len(setup.plan.coalitions)) * bytes_each / 2**20
    if not _is_open(setup.unlearner):
        auto = setup.unlearner
        if not (isinstance(auto, AutoUnlearner) and auto.retrains_all):
            log.info("unlearner %s: %s", *setup.unlearner.described())
        log.info("chunks of %d coalitions, about %.0f MiB each", size, chunk_mb)
    return replace(setup, chunk_size=size, chunk_mb=chunk_mb)


def _is_open(unlearner: Unlearner) -> bool:
    """Whether calibration has yet to choose a method, and with it the size of chunks."""
    return isinstance(unlearner, AutoUnlearner) and unlearner.method is None


def _plan(settings: ValuationSettings, n: int) -> Plan:
    budget = affordable(settings.budget, settings.stop)
    plan = make_plan(settings.estimator, n, budget, settings.seed)
    check_rules(settings.stop, settings.estimator, n)
    return replace(plan, reason=plan.reason + cost_reason(settings.stop, settings.budget))


def fitting_coalitions(settings: ValuationSettings, n: int) -> Coalitions:
    """Coalitions by which an unlearner resolves its options `(at most FITTED_ON, n)`.

    All of them where they are few, else the first of the estimator's plan. The budget must not
    decide them, so that a larger one continues with the same chunks: it only makes a plan longer,
    and the first ones stay the same.
    """
    everything = 2**n - 2
    if everything <= FITTED_ON:
        return make_plan("exact", n, everything, settings.seed).coalitions
    estimator = "auto" if settings.estimator == "exact" else settings.estimator
    budget = affordable(settings.budget, settings.stop)
    enough = min(max(FITTED_ON, budget), everything - 1)
    return make_plan(estimator, n, enough, settings.seed).coalitions[:FITTED_ON]


def _chunk_size(
    game: Game, unlearner: Unlearner, settings: ValuationSettings, typical: Coalitions
) -> tuple[int, int]:
    """Coalitions per chunk, and bytes of the costliest coalition: one with 1 or n − 1 members.

    typical: coalitions whose mean work decides how many make up `chunk_gflop`.
    """
    enough = coalitions_worth(game, unlearner, typical, settings.chunk_gflop)
    alone = np.eye(len(game.players), dtype=bool)
    costliest = np.vstack([alone, ~alone])
    return (
        min(enough, chunk_size(game, unlearner, costliest, settings)),
        bytes_per_coalition(game, unlearner, costliest),
    )
