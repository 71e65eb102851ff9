"""Step: the valuation, put together from what the steps before have found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.valuation_steps.checking import RetrainingCheck
from flows.valuation_steps.measuring import MeasuredPlan
from flows.valuation_steps.validating import ValidatedTables
from unshapley import environment
from unshapley.game.keys import game_key
from unshapley.results.valuation import Valuation


def valuation_of(
    measured: MeasuredPlan,
    check: RetrainingCheck,
    tables: ValidatedTables,
    tolerance: Mapping[str, Any],
) -> Valuation:
    """The valuation, with all that it was computed from."""
    setup, game, plan = measured.setup, measured.setup.game, measured.plan
    numerics = environment.numerics(setup.source.device)
    return Valuation(
        players=game.players,
        rows={**game.rows, **tables.quarantined_rows},
        quarantined=tables.quarantined,
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
        tolerance=tolerance,
    )
