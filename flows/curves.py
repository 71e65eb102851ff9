"""Removal and addition curves of a project's published values, and their picture."""

from __future__ import annotations

from pathlib import Path

from flows.preflight import check_statistics
from flows.tracking import progress
from unshapley import curves as library
from unshapley.config import Params
from unshapley.curves import Curves
from unshapley.errors import InputError
from unshapley.files import sha256, written_whole
from unshapley.inputs import load_inputs
from unshapley.memory import chunk_size
from unshapley.project import Project
from unshapley.published import Published, read_published
from unshapley.report.plots import curves as draw
from unshapley.rows import Schema
from unshapley.unlearning import UNLEARNERS, Unlearner, build_unlearner
from unshapley.utilities import check_utilities

TOGETHER = 32
"""Most coalitions of a batch: retraining more at once gains little and shows no progress."""


def curves(place: Project, params: Params, *, by: str, random: int, out: Path) -> Curves:
    """Measure the curves by the unlearner `by`, and write curves.csv and curves.svg to `out`.

    Raises `InputError` where nothing is published, the values are of another model, the unlearner
    is unknown, or the rows that it needs are absent.
    """
    unlearner = _build(by, params)
    published = read_published(place)
    _check_model(place, published)
    if unlearner.needs:
        check_statistics(place, params)
    values = published.values
    check_utilities([published.utility], Schema.load(place.schema).task)
    game = load_inputs(place, sorted(values), unlearner.needs, params.valuation.device)
    if by == "retrain" and not game.all_rows:
        raise InputError(
            "rows of providers that always stay are not reachable, and retraining needs them",
            where="--by",
            do="name an unlearner that needs no rows (--by newton), or restore the partitions",
        )
    seed = params.valuation.seed
    coalitions = library.planned(library.removal_orders([*values.values()], random, seed))
    size = min(TOGETHER, chunk_size(game, unlearner, coalitions, params.valuation))
    with progress(len(coalitions), "coalitions") as bar:
        found = library.removal_curves(
            game,
            unlearner,
            values,
            published.utility,
            random=random,
            seed=seed,
            size=size,
            advance=lambda count: bar.update(bar.task_ids[0], advance=count),
        )
    write(found, out)
    return found


def write(found: Curves, out: Path) -> None:
    """Write curves.csv and curves.svg."""
    table = found.table()
    with written_whole(out / "curves.csv") as part:
        table.to_csv(part, index=False, lineterminator="\n")
    with written_whole(out / "curves.svg") as part:
        part.write_text(draw(table, found.utility), encoding="utf-8")


def _build(name: str, params: Params) -> Unlearner:
    """The unlearner, with the options of params.yaml if it is the one that they are for."""
    if name not in UNLEARNERS:
        raise InputError(
            f"there is no unlearner {name!r}",
            where="--by",
            expected=f"one of {', '.join(UNLEARNERS)}",
        )
    same = name == params.valuation.unlearner
    return build_unlearner(name, params.valuation.options if same else {})


def _check_model(place: Project, published: Published) -> None:
    path = place.model / "model.json"
    if path.is_file() and sha256(path) != published.manifest["inputs"][place.relative(path)]:
        raise InputError(
            "the published values are of another model",
            where=path,
            do="run `unshapley run`, or restore the model with `dvc checkout`",
        )
