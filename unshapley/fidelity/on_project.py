"""Compare unlearners with real retraining on the data of a project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from unshapley.config import Params
from unshapley.curvature.statistics import with_statistics
from unshapley.curvature.text_store import with_text_statistics
from unshapley.data.tables import TEXT, Schema
from unshapley.errors import InputError
from unshapley.estimators import make_plan
from unshapley.fidelity.benchmark import UnlearnerRow, compare_unlearners
from unshapley.game.game import Game
from unshapley.game.loading import load_game
from unshapley.game.statistics_use import check_statistics
from unshapley.game.utilities import build_utilities
from unshapley.game.utility import WHERE, Utility
from unshapley.models.fitting import fit
from unshapley.models.rows import read_rows
from unshapley.models.store import ModelRecord
from unshapley.progress import Progress, silent
from unshapley.project import Project
from unshapley.unlearning import UNLEARNERS, Unlearner, build_unlearner, check_task

CONTROLS = 3
"""Measurements besides the unlearners: real retraining, no unlearning, truncated retraining."""


def benchmark_project(
    project: Project,
    params: Params,
    *,
    coalitions: int,
    seeds: int,
    names: Sequence[str] = (),
    utility: str | None = None,
    progress: Progress = silent,
) -> list[UnlearnerRow]:
    """Compare the unlearners with these names (by default all) over several pretraining seeds.

    Raises `InputError` if an unlearner or utility is unknown, a partition is missing, there are
    too few coalitions, or the model was imported and more than one seed is asked for.
    """
    record = ModelRecord.load(project.model)
    if record.imported is not None and seeds > 1:
        raise InputError(
            f"the model was imported from {record.imported.name}, so there is one only",
            where="--seeds",
            do="compare on this model: --seeds 1",
        )
    providers = tuple(sorted(record.partitions))
    schema = Schema.load(project.schema)
    text = schema.task == TEXT
    fitting = [n for n, kind in UNLEARNERS.items() if kind.of_text in (None, text)]
    chosen = names or [name for name in fitting if not UNLEARNERS[name].control]
    unlearners = [_build(name, params) for name in dict.fromkeys(chosen)]
    for unlearner in unlearners:
        check_task(unlearner, text=text)
    measured = _build_utility(utility or params.valuation.utilities[0], schema)
    _check_rows(project, providers)
    plan = make_plan("auto", len(providers), coalitions, params.valuation.seed)
    games = _games(project, params, record, seeds, unlearners)
    with progress(seeds * len(plan.coalitions) * (len(unlearners) + CONTROLS)) as advance:
        return compare_unlearners(
            games, plan, unlearners, measured, limits=params.valuation, advance=advance
        )


def _build(name: str, params: Params) -> Unlearner:
    """The unlearner, with the options of params.yaml if they belong to it."""
    is_configured = name == params.valuation.unlearner
    return build_unlearner(name, params.valuation.options if is_configured else {})


def _build_utility(name: str, schema: Schema) -> Utility:
    """The utility to compare; `InputError` if it has a value for each class or is unknown."""
    utility = build_utilities([name])[0]
    if utility.per_class:
        raise InputError(
            f"{name} is a number for every class",
            where=WHERE,
            expected="a utility with one number for each model",
        )
    return build_utilities([name], schema.task)[0]


def _check_rows(project: Project, providers: Sequence[str]) -> None:
    missing = [p for p in providers if not project.partition(p).is_file()]
    if missing:
        raise InputError(
            f"partition of provider {missing[0]!r} is missing, {len(missing)} of {len(providers)} "
            "are",
            where=project.partition(missing[0]),
            expected="the rows of all providers: retraining needs them",
            do="restore them with `dvc checkout`",
        )


def _games(
    project: Project,
    params: Params,
    record: ModelRecord,
    seeds: int,
    unlearners: Sequence[Unlearner],
) -> list[Game]:
    """The project's game, and games pretrained with the seeds that follow the project's seed.

    Pretraining and its statistics run on the CPU, as in the project; the measurements run on
    `valuation.device`.
    """
    providers = tuple(sorted(record.partitions))
    needs, device = [u.needs for u in unlearners if u.needs], params.valuation.device
    if needs:
        check_statistics(project, record, next(u.name for u in unlearners if u.needs))
    first = load_game(project, providers, needs[0] if needs else None, device)
    x, y = (tensor.cpu() for tensor in first.pretrained.reference)
    schema = Schema.load(project.schema)
    partitions = {p: read_rows(project, schema, p) for p in providers}
    test = first.test_x.cpu(), first.test_y.cpu()
    games: list[Game] = [first]
    for k in range(1, seeds):
        recipe = record.recipe.model_copy(update={"seed": record.recipe.seed + k})
        other = fit(recipe, partitions, (x, y), outputs=schema.outputs)
        other = replace(other, test=test)
        if needs and schema.task == TEXT:
            other = with_text_statistics(other, partitions)
        elif needs:
            other = with_statistics(other, partitions, params.curvature)
        other = other.to(device)
        games.append(replace(first, pretrained=other))
    return games
