"""Step: load model, rows and test set, checked against the model's record."""

from __future__ import annotations

from dataclasses import dataclass

from flows.valuation_steps.in_tasks import InTasks
from flows.valuation_steps.run import ValuationRun
from flows.valuation_steps.validating import ValidatedTables
from tasks.inputs import list_inputs
from tasks.keeping import retried
from tasks.load import load
from tasks.worker import WORKER, GameSource, Likeness
from unshapley.curvature.store import CurvatureRecord
from unshapley.files import digest
from unshapley.game.loading import LoadedGame
from unshapley.models.store import ModelRecord
from unshapley.unlearning import Unlearner, build_unlearner


@dataclass(frozen=True)
class OpenedGame:
    """The loaded game, how it is measured, and the unlearner that is to be used."""

    execution: InTasks
    game: LoadedGame
    unlearner: Unlearner


def open_game(run: ValuationRun, tables: ValidatedTables) -> OpenedGame:
    """Load the game; raises `InputError` where a file is not what the record says."""
    settings = run.params.valuation
    with run.tracker.step("load"):
        unlearner = build_unlearner(settings.unlearner, settings.options)
        source = name_source(run, tables, unlearner.needs)
        load.with_options(**retried(run.params.run))(source, run.workers.engine)
        game = WORKER.load(source)  # the task has loaded it
        return OpenedGame(InTasks(run, source), game, unlearner)


def name_source(run: ValuationRun, tables: ValidatedTables, needs: str | None) -> GameSource:
    """Players are the targets, or all providers, but the quarantined ones."""
    settings = run.params.valuation
    named = settings.targets or run.project.providers()
    players = tuple(sorted(p for p in named if p not in tables.quarantined))
    contents = [tables.state, ModelRecord.load(run.project.model).model_dump(mode="json")]
    if needs:
        record = CurvatureRecord.load(run.project.curvature)
        contents.append(record.model_dump(mode="json"))
    return GameSource(
        run.project.root,
        players,
        needs,
        settings.device,
        tuple(settings.utilities),
        digest(contents),
        Likeness.of_this_process(settings.numerics, settings.device),
        list_inputs(run.project, needs) if run.params.run.elsewhere else None,
    )
