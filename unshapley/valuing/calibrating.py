"""Step: choose how providers are forgotten, by trying candidates on retrained coalitions."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from unshapley.estimators.base import Floats
from unshapley.fidelity.calibration import Calibration, calibrate
from unshapley.game.coalitions import Coalitions
from unshapley.game.measuring import Measured
from unshapley.unlearning import Unlearner
from unshapley.unlearning.auto import METHODS, AutoUnlearner
from unshapley.unlearning.retrain import RetrainUnlearner
from unshapley.valuing.execution import RETRAINED, TRIED, Execution, Series
from unshapley.valuing.planning import MeasuringPlan, with_chunk_size

log = logging.getLogger("unshapley.run")


def calibrate_unlearner(execution: Execution, setup: MeasuringPlan) -> MeasuringPlan:
    """The plan with the method of `auto` chosen; other unlearners are left as they are.

    Raises `InputError` where `calibration` asks for too few coalitions, and `UnshapleyError` where
    every candidate diverges.
    """
    auto = setup.unlearner
    if not isinstance(auto, AutoUnlearner):
        return setup

    retrained: list[Measured] = []

    def measure(unlearner: Unlearner, coalitions: Coalitions) -> Floats:
        measured = _measure(execution, setup, unlearner, coalitions)
        if isinstance(unlearner, RetrainUnlearner):
            retrained.append(measured)
        return np.array(measured.primary_utilities)

    plan, settings = setup.plan.coalitions, execution.params.calibration
    with execution.step("calibrate"):
        found = calibrate(setup.game, auto, plan, setup.fitting, settings, measure)
    _tell(found)
    known = retrained[0] if retrained else None
    chosen = replace(setup, unlearner=found.unlearner, calibration=found, retrained=known)
    return with_chunk_size(chosen, execution.params.valuation)


def _measure(
    execution: Execution, setup: MeasuringPlan, unlearner: Unlearner, coalitions: Coalitions
) -> Measured:
    """Kept chunk by chunk, like the coalitions of a plan."""
    kind = RETRAINED if isinstance(unlearner, RetrainUnlearner) else TRIED
    series = Series(kind, "calibration", execution.params.calibration.seed)
    return execution.measure(setup, coalitions, series, unlearner=unlearner)


def _tell(found: Calibration) -> None:
    log.info("auto: %s, %s", found.method, found.reason)
    kind = METHODS.get(found.method)  # none where everything is retrained
    if kind is not None and kind.predicts:
        log.info(
            "  %s is a proxy: it predicts what models would answer, none forgets", found.method
        )
    for trial in found.trials:
        if trial.error is None:
            log.info("  %s: left out, %s", trial.method, trial.reason)
        else:
            log.info(
                "  %s: expected error of the values %.4g, of the utilities %.4g, cost %.1f %% of "
                "retraining",
                trial.method,
                trial.error,
                trial.rmse,
                100 * trial.cost_share,
            )
