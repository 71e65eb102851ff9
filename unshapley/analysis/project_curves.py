"""Removal and addition curves of a project's published values."""

from __future__ import annotations

from pathlib import Path

from unshapley.analysis.curves import Curves, planned, removal_curves
from unshapley.config import Params
from unshapley.curvature.store import check_settings
from unshapley.errors import InputError
from unshapley.files import sha256, write_csv, written_whole
from unshapley.game.loading import load_game
from unshapley.game.memory import chunk_size
from unshapley.game.removals import removal_orders
from unshapley.progress import Progress, silent
from unshapley.project import Project
from unshapley.results.published import Published, read_published
from unshapley.results.report.plots import curves as draw
from unshapley.unlearning import build_unlearner
from unshapley.unlearning.auto import AutoUnlearner

BATCH = 32
"""Most coalitions in a batch: larger batches of retraining are hardly faster and hide progress."""


def project_curves(
    project: Project, params: Params, *, by: str, random: int, progress: Progress = silent
) -> Curves:
    """Measure the curves by value and of `random` random orders with the unlearner named `by`.

    Raises `InputError` if nothing is published, the values belong to another model, the unlearner
    is unknown, or rows that it needs are absent.
    """
    settings, published = params.valuation, read_published(project)
    name, resolved = published.manifest["unlearner"]
    configured = settings.options if by == settings.unlearner else {}
    unlearner = build_unlearner(by, resolved if by == name else configured)
    if isinstance(unlearner, AutoUnlearner) and unlearner.method is None:
        raise InputError(
            "auto is calibrated by a run, and the published values are not by auto",
            where="valuation.unlearner",
            do="name another unlearner, or run `unshapley run` with valuation.unlearner: auto",
        )
    _check_model(project, published)
    if unlearner.needs:
        check_settings(project, params.curvature)
    values = published.values
    game = load_game(project, sorted(values), unlearner.needs, settings.device, [published.utility])
    if by == "retrain" and not game.all_rows:
        raise InputError(
            "rows of providers that always stay are not reachable, and retraining needs them",
            where="valuation.unlearner",
            do="name an unlearner that needs no rows (newton), or restore the partitions",
        )
    coalitions = planned(removal_orders([*values.values()], random, settings.seed))
    size = min(BATCH, chunk_size(game, unlearner, coalitions, settings))
    with progress(len(coalitions)) as advance:
        return removal_curves(
            game,
            unlearner,
            values,
            game.utilities[0],
            random=random,
            seed=settings.seed,
            size=size,
            advance=advance,
        )


def write_curves(curves: Curves, folder: Path) -> None:
    """Write curves.csv and curves.svg."""
    table = curves.table()
    write_csv(table, folder / "curves.csv")
    with written_whole(folder / "curves.svg") as part:
        part.write_text(draw(table, curves.utility), encoding="utf-8")


def _check_model(project: Project, published: Published) -> None:
    path = project.model / "model.json"
    if path.is_file() and sha256(path) != published.manifest["inputs"][project.relative(path)]:
        raise InputError(
            "the published values are of another model",
            where=path,
            do="run `unshapley run`, or restore the model with `dvc checkout`",
        )
