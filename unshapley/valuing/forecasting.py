"""What a valuation would take and tell, for several budgets, from a small pilot on this machine.

Its times, scaled by counted work, give the time of any plan. The game beyond it is drawn from the
process that it gives, and the plan's own estimator says how wide its intervals on it would be.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import psutil
from scipy import linalg, special

from unshapley.config import StopSettings
from unshapley.estimators import SAMPLING, TEST_SET, Estimate, Plan, estimate
from unshapley.estimators.base import Floats
from unshapley.estimators.gaussian_process import HELD, GaussianProcessEstimator
from unshapley.estimators.posterior import posterior
from unshapley.fidelity.comparison import affordable
from unshapley.fidelity.design import Unlearned, coalitions_to_retrain
from unshapley.game.coalitions import Coalitions
from unshapley.game.work import flop_of_coalitions
from unshapley.numerics import one_thread
from unshapley.unlearning.auto import AutoUnlearner
from unshapley.unlearning.retrain import RetrainUnlearner
from unshapley.valuing.checking import TWICE
from unshapley.valuing.execution import PLANNED, RETRAINED, TRIED
from unshapley.valuing.piloting import PILOT, Pilot, Timed
from unshapley.valuing.planning import MeasuringPlan, plan_coalitions, with_chunk_size

AGGREGATIONS = 3
"""Estimates of a plan that a run makes, in time: most of it is fitting the process, twice."""
BESIDE = 5.0
"""Seconds of a run that do not depend on the plan: server, loading, tables and report."""
A_CHUNK = 0.05
"""Seconds that a task takes beside its work."""
SQUARES = 4
"""Matrices of a process over m coalitions, `(m, m)`, that are held at a time."""
_NONE, _OWN = np.empty((0, 0), dtype=np.int64), GaussianProcessEstimator.name


@dataclass(frozen=True)
class Forecast:
    """What one budget would give.

    coalitions: that the plan measures; seconds: by step; memory_mb: peak of the process, in MiB;
    half_widths: of the 95 % intervals of the values `(n,)`, NaN where the estimator gives none;
    sampling, test: median standard error by source; told_apart: share of the pairs of providers.
    """

    coalitions: int
    estimator: str
    seconds: Mapping[str, float]
    memory_mb: float
    half_widths: Floats
    sampling: float
    test: float
    told_apart: float

    @property
    def total(self) -> float:
        """Seconds in all."""
        return sum(self.seconds.values())


def budgets_around(budget: int, n: int) -> list[int]:
    """A quarter of a budget, it itself and four times it, but no more than all coalitions."""
    everything = 2**n - 2
    return sorted(
        {min(everything, max(PILOT, count)) for count in (budget // 4, budget, 4 * budget)}
    )


def forecast(pilot: Pilot, budget: int) -> Forecast:
    """What a run with this budget would take and tell.

    Raises `InputError` where the estimator needs a larger budget.
    """
    settings = pilot.params.valuation.model_copy(update={"budget": budget, "stop": StopSettings()})
    setup = plan_coalitions(pilot.game, pilot.open_unlearner, settings)
    setup = with_chunk_size(replace(setup, unlearner=pilot.unlearner), settings)
    drawn, once = _estimate_of_drawn_game(pilot, setup.plan)
    return Forecast(
        coalitions=len(setup.plan.coalitions),
        estimator=setup.plan.estimator,
        seconds=_seconds(pilot, setup, once),
        memory_mb=_memory_mb(pilot, setup),
        half_widths=drawn.half_width,
        sampling=_median(drawn.error_of(SAMPLING)),
        test=_median(drawn.error_of(TEST_SET)),
        told_apart=_told_apart(drawn, pilot.estimate),
    )


def _seconds(pilot: Pilot, setup: MeasuringPlan, once: float) -> dict[str, float]:
    """By step; once: seconds of one estimate."""
    game, plan = pilot.game, setup.plan.coalitions
    retraining = flop_of_coalitions(game, RetrainUnlearner(), plan)
    measuring = flop_of_coalitions(game, setup.unlearner, plan)
    retrained = pilot.timed.get(RETRAINED, Timed())
    planned, tried = (pilot.timed.get(kind, Timed()) for kind in (PLANNED, TRIED))
    rate = retrained.seconds_per_flop or planned.seconds_per_flop
    calibrating, spent = 0.0, 0.0
    if isinstance(setup.unlearner, AutoUnlearner) and tried.coalitions:
        unlearned = Unlearned(game, plan, setup.exact)
        extra = coalitions_to_retrain(unlearned, retraining, pilot.params.calibration)
        rows = np.union1d(extra, unlearned.border)
        spent = float(retraining[extra].sum())
        before = len(pilot.measured.setup.retrained or ())
        calibrating = rate * float(retraining[rows].sum())
        calibrating += tried.seconds * len(rows) / max(1, before)
    checking = 0.0
    if game.retrainable and not setup.exact.all() and pilot.params.fidelity.coalitions:
        order = np.random.default_rng(0).permutation(len(plan))
        fewest = pilot.params.fidelity.coalitions
        rows = affordable(order, retraining, float(measuring.sum()), fewest, spent)
        checking = rate * float(retraining[rows].sum() + retraining[rows[:TWICE]].sum())
    chunks = len(plan) / setup.chunk_size + 8
    return {
        "calibrate": calibrating,
        "measure": planned.seconds_per_flop * float(measuring.sum()) + A_CHUNK * chunks,
        "check": checking,
        "aggregate": AGGREGATIONS * once,
        "other": BESIDE,
    }


def _memory_mb(pilot: Pilot, setup: MeasuringPlan) -> float:
    """What this process holds, and the chunks of a moment or the matrices of the estimator."""
    held = psutil.Process(os.getpid()).memory_info().rss / 2**20
    chunks = pilot.params.run.tasks_in_process * setup.chunk_mb
    m = min(HELD, len(setup.plan.coalitions))
    return float(held + max(chunks, SQUARES * 8 * m**2 / 2**20))


@one_thread()
def _estimate_of_drawn_game(pilot: Pilot, plan: Plan) -> tuple[Estimate, float]:
    """The plan's errors on a game drawn from the process given the pilot, with the pilot's error of
    the test set; and the seconds of an estimate.
    """
    utilities = np.array(pilot.measured.measured.primary_utilities)
    ends = np.array(pilot.measured.endpoints.primary_utilities)
    if plan.estimator == "exact":  # whose errors are zero, whatever the game
        drawn = np.zeros(len(plan.coalitions))
    else:
        drawn = _draw(pilot.measured.plan.coalitions, utilities, plan.coalitions[:HELD])
    rest = len(plan.coalitions) - len(drawn)
    if rest:  # the draw's cost grows with the cube of the coalitions
        plan = replace(plan, coalitions=plan.coalitions[:HELD], permutations=_NONE, estimator=_OWN)
    start = time.perf_counter()
    found = estimate(plan, np.concatenate([ends[:1], drawn, ends[1:]]))
    seconds = time.perf_counter() - start
    errors = {SAMPLING: found.errors[SAMPLING] * len(drawn) / (len(drawn) + rest)}
    if TEST_SET in pilot.estimate.errors:
        errors[TEST_SET] = pilot.estimate.errors[TEST_SET]
    return replace(found, errors=errors), seconds


def _draw(known: Coalitions, utilities: Floats, coalitions: Coalitions) -> Floats:
    """Utilities `(m,)` of coalitions `(m, n)` drawn from the process, given those of the known."""
    game = posterior(known, utilities)
    cross = game.kernel.gram(coalitions, known)
    half = linalg.solve_triangular(game.factor, cross.T, lower=True)
    covariance = game.kernel.gram(coalitions, coalitions) - half.T @ half
    covariance[np.diag_indices_from(covariance)] += game.kernel.noise[coalitions.sum(axis=1)] + 1e-9
    root = linalg.cholesky(covariance, lower=True, overwrite_a=True)
    normal = np.random.default_rng(0).normal(size=len(coalitions))
    standard = cross @ game.solve(game.residual) + root @ normal
    out: Floats = utilities.mean() + game.scale * standard
    return out


def _median(errors: Floats | None) -> float:
    return 0.0 if errors is None else float(np.median(errors))


def _told_apart(errors: Estimate, pilot: Estimate) -> float:
    """Expected share of the pairs of providers that differ by more than the errors of their
    difference, where the true difference is as uncertain as the pilot's sampling leaves it.
    """
    first, second = np.triu_indices(len(pilot.value), 1)
    half = errors.half_width_of_difference(first, second)
    difference = pilot.value[first] - pilot.value[second]
    c = pilot.errors[SAMPLING]
    variance = c[first, first] + c[second, second] - 2 * c[first, second]
    spread = np.sqrt(np.clip(np.nan_to_num(variance), 1e-30, None))
    above = special.ndtr((difference - half) / spread)
    below = special.ndtr((-difference - half) / spread)
    return float((above + below).mean())
