"""Hold unlearners against real retraining on a project, and write what came out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from flows.tracking import progress
from unshapley.config import Params
from unshapley.errors import InputError
from unshapley.estimators import make_plan
from unshapley.files import written_whole
from unshapley.game import Game
from unshapley.harness import EDGES, Row, compare
from unshapley.inputs import load_inputs
from unshapley.modelstore import ModelRecord
from unshapley.pretraining import fit, read_rows, with_statistics
from unshapley.project import Project
from unshapley.report.plots import errors_by_share
from unshapley.rows import Schema
from unshapley.unlearning import UNLEARNERS, Unlearner, build_unlearner
from unshapley.utilities import UTILITIES, check_utilities

BINS = tuple(f"{100 * a:.0f}–{100 * b:.0f} %" for a, b in pairwise(EDGES))
"""Shares of the training rows forgotten, as plot and table name them."""


def fidelity(
    place: Project,
    params: Params,
    *,
    coalitions: int,
    seeds: int,
    names: Sequence[str],
    utility: str | None,
    out: Path,
) -> list[Row]:
    """Compare the unlearners of these names, or all, and write fidelity.csv and .svg to `out`.

    Raises `InputError` where an unlearner or utility is unknown, a partition is missing, or the
    coalitions are too few.
    """
    record = ModelRecord.load(place.model)
    providers = tuple(sorted(record.partitions))
    chosen = names or [name for name, kind in UNLEARNERS.items() if not kind.control]
    with _of_option("valuation.unlearner", "--unlearner"):
        unlearners = [_build(name, params) for name in dict.fromkeys(chosen)]
    utility = _utility(place, params, utility)
    _check_rows(place, providers)
    with _of_option("valuation.budget", "--coalitions", "raise it"):
        plan = make_plan("auto", len(providers), coalitions, params.valuation.seed)
    games = _games(place, params, record, providers, seeds, unlearners)
    # truth, no unlearning and truncated retraining are measured too
    total = seeds * len(plan.coalitions) * (len(unlearners) + 3)
    with progress(total, "coalitions") as bar:
        rows = compare(
            games, plan, unlearners, utility, limits=params.valuation, advance=_advance(bar)
        )
    frame = table(rows)
    with written_whole(out / "fidelity.csv") as part:
        frame.to_csv(part, index=False)
    picture = errors_by_share({r.unlearner: r.rmse_by_share for r in rows}, BINS, _floor(rows))
    with written_whole(out / "fidelity.svg") as part:
        part.write_text(picture, encoding="utf-8")
    return rows


def table(rows: Sequence[Row]) -> pd.DataFrame:
    """One line a row, as fidelity.csv holds it: errors by share in a column each."""
    lines = []
    for row in rows:
        line = {k: v for k, v in vars(row).items() if not k.endswith("_by_share")}
        for i, (low, high) in enumerate(pairwise(EDGES)):
            named = f"{100 * low:.0f}_{100 * high:.0f}"
            line[f"rmse_{named}"] = row.rmse_by_share[i]
            line[f"noise_{named}"] = row.noise_by_share[i]
        line["reason"] = line.pop("reason")  # a sentence: behind all figures
        lines.append(line)
    return pd.DataFrame(lines)


def _build(name: str, params: Params) -> Unlearner:
    """The unlearner, with the options of params.yaml if it is the one that they are for."""
    same = name == params.valuation.unlearner
    return build_unlearner(name, params.valuation.options if same else {})


@contextmanager
def _of_option(key: str, option: str, do: str = "") -> Iterator[None]:
    """Tell what is wrong with a `key` of params.yaml as a mistake in the option given for it."""
    try:
        yield
    except InputError as error:
        if error.where != key:
            raise
        raise InputError(
            error.what, where=option, expected=error.expected, do=do or error.do
        ) from None


def _utility(place: Project, params: Params, name: str | None) -> str:
    """The utility that is compared: `name`, or where there is none the primary one."""
    task = Schema.load(place.schema).task
    if name is None:
        check_utilities(params.valuation.utilities[:1], task)
        return params.valuation.utilities[0]
    if name in UTILITIES and UTILITIES[name].per_class:
        raise InputError(
            f"{name} is a number for every class",
            where="--utility",
            expected="a utility that gives one number a model",
        )
    with _of_option("valuation.utilities", "--utility"):
        check_utilities([name], task)
    return name


def _check_rows(place: Project, providers: Sequence[str]) -> None:
    missing = [p for p in providers if not place.partition(p).is_file()]
    if missing:
        raise InputError(
            f"partition of provider {missing[0]!r} is missing, {len(missing)} of {len(providers)} "
            "are",
            where=place.partition(missing[0]),
            expected="the rows of all providers: retraining needs them",
            do="restore them with `dvc checkout`",
        )


def _games(
    place: Project,
    params: Params,
    record: ModelRecord,
    providers: tuple[str, ...],
    seeds: int,
    unlearners: Sequence[Unlearner],
) -> list[Game]:
    """The project's own game, and others that are pretrained with the seeds that follow.

    Pretraining and its statistics run on the CPU, as in the project; what is measured does not.
    """
    needs, device = [u.needs for u in unlearners if u.needs], params.valuation.device
    first = load_inputs(place, providers, needs[0] if needs else None, device)
    x, y = (tensor.cpu() for tensor in first.pretrained.reference)
    schema = Schema.load(place.schema)
    partitions = {p: read_rows(place, schema, p) for p in providers}
    games: list[Game] = [first]
    for k in range(1, seeds):
        recipe = record.recipe.model_copy(update={"seed": record.recipe.seed + k})
        other = fit(recipe, partitions, (x, y), outputs=schema.outputs)
        if needs:
            other = with_statistics(other, partitions, params.curvature)
        other = replace(other, test=first.pretrained.test).to(device)
        games.append(replace(first, pretrained=other))
    return games


def _floor(rows: Sequence[Row]) -> tuple[float | None, ...]:
    return next((r.noise_by_share for r in rows if r.noise_floor is not None), (None,) * len(BINS))


def _advance(bar: Any) -> Callable[[int], None]:
    def advance(count: int) -> None:
        bar.update(bar.task_ids[0], advance=count)

    return advance
