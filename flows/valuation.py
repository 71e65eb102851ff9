"""The valuation flow: validate → load → unlearn and evaluate → aggregate → check → publish."""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from prefect import flow
from prefect.runtime import flow_run
from prefect.task_runners import TaskRunner

from flows.locking import only_run
from flows.mapping import run_kept
from flows.measuring import Job, measure_rounds, retrain_some
from flows.preflight import preflight
from flows.runners import make_runner
from flows.tracking import Tracker, write_run
from tasks.aggregate import aggregate
from tasks.check_fidelity import check_fidelity
from tasks.load import Source, inputs_of, load
from tasks.options import retried
from tasks.publish import publish
from tasks.validate import validate
from tasks.validation import state_of, tables, verdict
from unshapley import environment
from unshapley.coalitions import Coalitions, to_masks, together
from unshapley.config import Params, load_params
from unshapley.config import Valuation as Wanted
from unshapley.curvaturestore import CurvatureRecord
from unshapley.errors import UntrustedError
from unshapley.estimators import make_plan
from unshapley.fidelity import Fidelity
from unshapley.files import digest
from unshapley.game import Game
from unshapley.measurement import game_key, measure_endpoints_resampled
from unshapley.memory import bytes_per_coalition, chunk_size
from unshapley.modelstore import ModelRecord
from unshapley.project import Project
from unshapley.publication import is_published
from unshapley.stopping import affordable, check_rules, paid
from unshapley.unlearning import Unlearner, build_unlearner
from unshapley.valuation import Valuation, metrics

log = logging.getLogger("unshapley.run")

TYPICAL = 1024
"""Coalitions by which an unlearner is fitted, whatever the budget."""


def _run_name() -> str:
    return f"valuation of {Path(flow_run.parameters['project']).resolve().name}"


@flow(name="valuation", flow_run_name=_run_name)
def valuation(project: Path = Path(), params: Params | None = None) -> dict[str, Any]:
    """Value every provider of a project folder.

    Args:
        project: folder that holds params.yaml and data/.
        params: the configuration; left out, params.yaml is read.
    """
    place = Project(project.resolve())
    params = params or load_params(place.params)
    with only_run(place), make_runner(params.run) as runner:
        return _value(place, params, runner)


def _value(place: Project, params: Params, runner: TaskRunner[Any]) -> dict[str, Any]:
    tracker = Tracker()
    wanted = params.valuation
    with tracker.step("validate"):
        preflight(place, params)
        state, reports = validate_tables(place, params, runner)
        quarantined = verdict(reports, params.validation.policy)
    with tracker.step("load"):
        unlearner = build_unlearner(wanted.unlearner, wanted.options)
        source = open_source(place, params, state, quarantined, unlearner.needs)
        load.with_options(**retried(params.run))(source)
        inputs = inputs_of(source)
        budget = affordable(wanted.budget, wanted.stop)
        plan = make_plan(wanted.estimator, len(source.players), budget, wanted.seed)
        check_rules(wanted.stop, wanted.estimator, plan.n)
        plan = replace(plan, reason=plan.reason + paid(wanted.stop, wanted.budget))
        # by the game, never by the budget, so that a larger one continues with the same chunks
        shown = typical(wanted.estimator, plan.n, budget, wanted.seed)
        unlearner = unlearner.fitted(inputs.pretrained, inputs.staying(shown))
        size, one = _sizes(inputs, unlearner, wanted)
        tracker.estimated_mb = min(size, len(plan.coalitions)) * one / 2**20
        endpoints, ends = measure_endpoints_resampled(inputs, unlearner, wanted.utilities)
    log.info("estimator %s: %s", plan.estimator, plan.reason)
    log.info("unlearner %s: %s", *unlearner.described())
    log.info("chunks of %d coalitions, about %.0f MiB each", size, tracker.estimated_mb)
    job = Job(place, source, params, runner, size)
    primary, full = wanted.utilities[0], endpoints[wanted.utilities[0]][1]
    with tracker.step("measure"), tracker.memory():
        plan, measured = measure_rounds(job, unlearner, plan, endpoints, ends, tracker)
        log.info(
            "%d chunks computed, %d resumed; %d coalitions recalled from other plans",
            tracker.computed,
            tracker.resumed,
            tracker.recalled.total(),
        )
    utilities = measured.utilities
    again = [ends[0], *measured.resampled, ends[1]] if ends else []
    with tracker.step("retrain"):
        memo = dict(zip(to_masks(plan.coalitions), utilities[primary], strict=True))
        found, learnt = retrain_some(job, unlearner, plan.coalitions, memo)
        if found.nobody is not None:
            endpoints[primary][0] = found.nobody
    with tracker.step("aggregate"):
        estimate = aggregate(plan, source.players, utilities, endpoints, primary, learnt, again)
        fidelity = check_fidelity(found.bits, found.retrained, found.unlearned, full, found.reason)
    ids = np.empty(len(plan.coalitions), dtype=int)
    for i, part in enumerate(together(plan.coalitions, size)):
        ids[part] = i
    result = Valuation(
        players=source.players,
        rows={**inputs.rows, **_rows_of(reports, quarantined)},
        quarantined=quarantined,
        primary=primary,
        plan=plan,
        chunk_ids=tuple(ids.tolist()),
        utilities=utilities,
        endpoints=endpoints,
        estimate=estimate,
        fidelity=fidelity,
        correction=learnt,
        unlearner=tuple(unlearner.described()),
        game=game_key(inputs, unlearner, wanted.utilities, environment.numerics(wanted.device)),
    )
    with tracker.step("publish"):
        folder = publish(source, params, result, reports)
    summary = tracker.summary(params.run.model_dump(mode="json"))
    log.info(
        "memory: %.0f MiB estimated for %d chunks at a time, %.0f MiB used",
        tracker.estimated_mb * params.run.workers,
        params.run.workers,
        tracker.used_mb,
    )
    write_run(place, folder.name, summary)
    spent = ", ".join(f"{name} {value:.1f}" for name, value in summary["seconds"].items())
    log.info("seconds: %s", spent)
    if not is_published(result, params):
        raise UntrustedError(_refusal(fidelity, folder))
    return {"folder": str(folder), "metrics": metrics(result), "run": summary}


def _sizes(game: Game, unlearner: Unlearner, wanted: Wanted) -> tuple[int, int]:
    """Coalitions a chunk, and bytes that the costliest of all coalitions takes: of a size 1, or
    n − 1.
    """
    alone = np.eye(len(game.players), dtype=bool)
    costliest = np.vstack([alone, ~alone])
    return (
        chunk_size(game, unlearner, costliest, wanted),
        bytes_per_coalition(game, unlearner, costliest),
    )


def typical(estimator: str, n: int, budget: int, seed: int) -> Coalitions:
    """Coalitions by which an unlearner is fitted `(at most TYPICAL, n)`: all where they are few,
    else the first of the estimator's plans. The budget decides nothing.
    """
    everything = 2**n - 2
    if everything <= TYPICAL:
        return make_plan("exact", n, everything, seed).coalitions
    named = "auto" if estimator == "exact" else estimator
    enough = min(max(TYPICAL, budget), everything - 1)
    return make_plan(named, n, enough, seed).coalitions[:TYPICAL]


def validate_tables(
    place: Project, params: Params, runner: TaskRunner[Any]
) -> tuple[str, list[dict[str, Any]]]:
    """Check every table, in parallel; give the hash of all that was read, and the findings."""
    state = state_of(place)
    names = list(tables(place))
    versions = [importlib.metadata.version("great-expectations"), environment.code()["sources"]]
    keys = {name: f"validate-{digest([name, state, versions])}" for name in names}
    calls = {
        name: {"root": place.root, "name": name, "state": state, "key": keys[name]}
        for name in names
    }
    results = run_kept(validate, calls, place, params, runner)
    return state, [results[name]["content"] for name in names]


def open_source(
    place: Project, params: Params, state: str, quarantined: dict[str, str], needs: str | None
) -> Source:
    """Name the game: players are the targets, or all providers, but the quarantined ones."""
    wanted = params.valuation.targets or place.providers()
    players = tuple(sorted(p for p in wanted if p not in quarantined))
    record = ModelRecord.load(place.model)
    hashes = [state, record.model_dump(mode="json")]
    if needs:
        hashes.append(CurvatureRecord.load(place.curvature).model_dump(mode="json"))
    return Source(place.root, players, needs, params.valuation.device, digest(hashes))


def _rows_of(reports: Sequence[dict[str, Any]], names: dict[str, str]) -> dict[str, int]:
    return {report["table"]: report["rows"] for report in reports if report["table"] in names}


def _refusal(fidelity: Fidelity, folder: Path) -> str:
    if fidelity.status == "unchecked":
        why = fidelity.reason or "no coalition was retrained to check the values"
        remedy = "restore the rows" if fidelity.reason else "set fidelity.coalitions"
        return (
            f"not published: {why}\n"
            f"  the values are in {folder}\n"
            f"  do: {remedy}, or set fidelity.publish_unchecked: true"
        )
    return (
        "not published: unlearning predicts retraining no better than leaving the model as it is\n"
        f"  root mean squared error {fidelity.rmse:.4f}, without unlearning "
        f"{fidelity.rmse_no_unlearning:.4f}; the values are in {folder}\n"
        "  do: use another unlearner or other options of it"
    )
