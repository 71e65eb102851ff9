"""All steps of a valuation once its game is loaded, in their order, and what they have found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unshapley import environment
from unshapley.game.keys import game_key
from unshapley.game.loading import LoadedGame
from unshapley.results.valuation import Valuation
from unshapley.unlearning import Unlearner
from unshapley.valuing.calibrating import calibrate_unlearner
from unshapley.valuing.checking import RetrainingCheck, check_or_correct
from unshapley.valuing.execution import Execution
from unshapley.valuing.measuring import MeasuredPlan, measure_plan
from unshapley.valuing.planning import plan_coalitions
from unshapley.valuing.tolerating import tolerances_of

LeftOut = Mapping[str, tuple[str, int]]
"""Providers in quarantine: the reason, and how many rows they have."""


def value_game(
    execution: Execution, game: LoadedGame, unlearner: Unlearner, left_out: LeftOut
) -> Valuation:
    """Plan → calibrate → measure → check or correct, and the values that this gives.

    Raises `InputError` for parameters that cannot be met, and `UnshapleyError` naming coalitions
    whose model diverged.
    """
    plan = plan_coalitions(game, unlearner, execution.params.valuation)
    setup = calibrate_unlearner(execution, plan)
    measured = measure_plan(execution, setup)
    check = check_or_correct(execution, measured)
    tolerance = tolerances_of(execution, measured)
    device = execution.params.valuation.device
    return _assembled(measured, check, left_out, tolerance, device)


def _assembled(
    measured: MeasuredPlan,
    check: RetrainingCheck,
    left_out: LeftOut,
    tolerance: Mapping[str, Any],
    device: str,
) -> Valuation:
    setup, game, plan = measured.setup, measured.setup.game, measured.plan
    numerics = environment.numerics(device)
    return Valuation(
        players=game.players,
        rows={**game.rows, **{provider: rows for provider, (_, rows) in left_out.items()}},
        quarantined={provider: reason for provider, (reason, _) in left_out.items()},
        plan=plan,
        chunk_ids=measured.chunk_ids,
        measured=measured.measured,
        endpoints=check.endpoints,
        estimate=check.estimate,
        fidelity=check.fidelity,
        correction=check.correction,
        calibration=setup.calibration,
        unlearner=tuple(setup.unlearner.described()),
        game=game_key(game, setup.unlearner, game.utilities, numerics),
        unit=game.utilities[0].unit,
        training=game.record.convergence,
        origin=game.record.imported,
        tolerance=tolerance,
        test_sources=game.record.test_sources,
    )
