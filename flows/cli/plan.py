"""Command that says what a valuation would take and tell, before it runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.common import (
    JsonOption,
    ProjectOption,
    VerboseOption,
    options_for,
    print_json,
    reported,
    start,
    warn,
)
from unshapley.project import Project

if TYPE_CHECKING:
    from unshapley.valuing.forecasting import Forecast
    from unshapley.valuing.piloting import Pilot


@reported
def plan(
    project: ProjectOption = Path(),
    budget: Annotated[
        list[int] | None,
        typer.Option(
            min=8,
            help="Coalitions to measure, in place of a quarter of valuation.budget, it and four "
            "times it; may be repeated.",
        ),
    ] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Say how long a valuation would take on this machine, how much memory, and how wide its
    intervals would be, for several budgets.

    Prepares and pretrains first, as `unshapley run` does, and measures a pilot of 48 coalitions.
    Nothing is published.

    Examples: `unshapley plan` · `unshapley plan --budget 500 --budget 5000`
    """
    start(project, verbose=verbose)
    from flows.preflight import preflight
    from flows.readiness import make_ready
    from flows.runtime.locks import only_run
    from flows.runtime.portable import parameters
    from flows.runtime.progress import phases
    from unshapley.game.loading import load_game
    from unshapley.models.store import ModelRecord
    from unshapley.unlearning import build_unlearner
    from unshapley.valuing.forecasting import budgets_around, forecast
    from unshapley.valuing.piloting import run_pilot

    paths = Project(project)
    params = parameters(paths)
    with only_run(paths):
        make_ready(paths, params, warn)
        preflight(paths, params)
    settings = params.valuation
    players = sorted(settings.targets or ModelRecord.load(paths.model).partitions)
    unlearner = build_unlearner(settings.unlearner, settings.options)
    game = load_game(paths, players, unlearner.needs, settings.device, settings.utilities)
    pilot = run_pilot(game, unlearner, params, phases)
    logging.getLogger("unshapley.run").setLevel(logging.WARNING)  # each plan would say its reason
    with options_for({"valuation.budget": "--budget"}):
        budgets = sorted(budget or budgets_around(settings.budget, len(players)))
        forecasts = [forecast(pilot, count) for count in budgets]
    if as_json:
        print_json(_summary(pilot, budgets, forecasts))
        return
    from flows.cli.printing_plan import print_plan

    print_plan(pilot, budgets, forecasts)


def _summary(pilot: Pilot, budgets: Sequence[int], forecasts: Sequence[Forecast]) -> dict[str, Any]:
    players = pilot.game.players
    return {
        "utility": pilot.measured.measured.primary,
        "pilot": {
            "coalitions": len(pilot.measured.plan.coalitions),
            "seconds": pilot.seconds,
            "unlearner": pilot.unlearner.described(),
            "values": dict(zip(players, pilot.estimate.value.tolist(), strict=True)),
        },
        "budgets": [
            {
                "budget": budget,
                "coalitions": entry.coalitions,
                "estimator": entry.estimator,
                "seconds": {"total": entry.total, **entry.seconds},
                "memory_mb": entry.memory_mb,
                "half_widths": dict(zip(players, entry.half_widths.tolist(), strict=True)),
                "sampling_error": entry.sampling,
                "test_error": entry.test,
                "pairs_told_apart": entry.told_apart,
            }
            for budget, entry in zip(budgets, forecasts, strict=True)
        ],
    }


COMMANDS = (plan,)
