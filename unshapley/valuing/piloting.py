"""A pilot: a few dozen coalitions, calibrated and measured, and how long each kind of them took."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from unshapley.config import Params, StopSettings
from unshapley.estimators import Estimate
from unshapley.game.coalitions import Coalitions
from unshapley.game.loading import LoadedGame
from unshapley.game.measuring import Measured
from unshapley.game.work import flop_of_coalitions
from unshapley.progress import Phases, silent_phases
from unshapley.results.valuation import estimate_values
from unshapley.unlearning import Unlearner
from unshapley.valuing.calibrating import calibrate_unlearner
from unshapley.valuing.execution import TRIED, Series
from unshapley.valuing.in_process import InProcess
from unshapley.valuing.measuring import MeasuredPlan, measure_plan
from unshapley.valuing.planning import MeasuringPlan, plan_coalitions

PILOT = 48
"""Coalitions of the pilot."""
SHORT = 3.0
"""Seconds: what took less is measured twice, and the shorter time counts."""


@dataclass(frozen=True)
class Pilot:
    """A small valuation, from which others are forecast.

    open_unlearner: as params.yaml names it; measured: by the unlearner as it was chosen; timed: by
    kind of coalitions; seconds: the pilot took.
    """

    game: LoadedGame
    params: Params
    open_unlearner: Unlearner
    measured: MeasuredPlan
    estimate: Estimate
    timed: Mapping[str, Timed]
    seconds: float

    @property
    def unlearner(self) -> Unlearner:
        return self.measured.setup.unlearner


@dataclass
class Timed:
    """Seconds and counted work of a kind of coalitions."""

    seconds: float = 0.0
    flop: float = 0.0
    coalitions: int = 0

    @property
    def seconds_per_flop(self) -> float:
        return self.seconds / self.flop if self.flop else 0.0


@dataclass(frozen=True)
class _TimedExecution(InProcess):
    """Carries a valuation out in this process, and takes the time of each kind of coalitions."""

    timed: dict[str, Timed] = field(default_factory=dict)

    def measure(
        self,
        setup: MeasuringPlan,
        coalitions: Coalitions,
        series: Series,
        *,
        unlearner: Unlearner | None = None,
        size: int | None = None,
        tracked: bool = False,
    ) -> Measured:
        method = unlearner or setup.unlearner
        # a few coalitions would be one chunk, and all workers but one would wait
        size = min(size or setup.chunk_size, -(-len(coalitions) // self.params.run.workers))
        entry = self.timed.setdefault(series.kind, Timed())
        start = time.perf_counter()
        measured = super().measure(
            setup, coalitions, series, unlearner=unlearner, size=size, tracked=tracked
        )
        seconds = time.perf_counter() - start
        if series.kind != TRIED and seconds < SHORT:  # the first time, libraries warm up
            start = time.perf_counter()
            silent = InProcess(self.params)
            silent.measure(setup, coalitions, series, unlearner=unlearner, size=size)
            seconds = min(seconds, time.perf_counter() - start)
        entry.seconds += seconds
        entry.flop += float(flop_of_coalitions(setup.game, method, coalitions).sum())
        entry.coalitions += len(coalitions)
        return measured


def run_pilot(
    game: LoadedGame, unlearner: Unlearner, params: Params, phases: Phases = silent_phases
) -> Pilot:
    """Calibrate and measure `PILOT` coalitions; raises as a valuation does."""
    everything = 2 ** len(game.players) - 2
    estimator = "exact" if everything <= PILOT else "gaussian_process"
    small = {"estimator": estimator, "budget": PILOT, "stop": StopSettings()}
    settings = params.valuation.model_copy(update=small)
    execution = _TimedExecution(params.model_copy(update={"valuation": settings}), phases)
    start = time.perf_counter()
    setup = calibrate_unlearner(execution, plan_coalitions(game, unlearner, settings))
    measured = measure_plan(execution, setup)
    estimate = estimate_values(measured.plan, measured.measured, measured.endpoints)
    seconds = time.perf_counter() - start
    return Pilot(game, params, unlearner, measured, estimate, execution.timed, seconds)
