"""Measuring coalitions chunk by chunk, and really retraining a few of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from prefect.task_runners import TaskRunner

from flows.mapping import run_kept
from flows.tracking import Tracker
from tasks.correct import correct
from tasks.load import Source, inputs_of
from tasks.measure import measure
from tasks.memo import named, recall
from unshapley import environment
from unshapley.coalitions import WINDOW, Coalitions, to_bits, to_masks, together
from unshapley.config import Params
from unshapley.correction import Correction, choose
from unshapley.errors import InputError
from unshapley.estimators import Plan, make_plan
from unshapley.estimators.sampling import LISTED
from unshapley.fidelity import ALL_RETRAINED, ROWS_ABSENT, stratified
from unshapley.files import digest
from unshapley.measurement import (
    Resampled,
    Utilities,
    chunk_key,
    forgotten,
    forgotten_rows,
    game_key,
)
from unshapley.memory import chunk_size
from unshapley.project import Project
from unshapley.stopping import reached, rounds
from unshapley.unlearning import Unlearner
from unshapley.unlearning.retrain import RetrainUnlearner
from unshapley.valuation import estimate_values

log = logging.getLogger("unshapley.run")

RETRAINED_TOGETHER = 8
"""Retrained coalitions that share a chunk: each takes long, so chunks are small."""


@dataclass(frozen=True)
class Job:
    """What all measuring of one run has in common; size: coalitions a chunk."""

    place: Project
    source: Source
    params: Params
    runner: TaskRunner[Any]
    size: int


@dataclass(frozen=True)
class Measured:
    """Utilities of coalitions, and the first of them on bootstrap samples of the test rows."""

    utilities: Utilities
    resampled: Resampled

    def joined(self, other: Measured) -> Measured:
        """These coalitions, then the others."""
        both = {n: [*self.utilities.get(n, []), *values] for n, values in other.utilities.items()}
        return Measured(both, self.resampled + other.resampled)

    def first(self, count: int) -> Measured:
        """The first coalitions."""
        return Measured(
            {n: values[:count] for n, values in self.utilities.items()}, self.resampled[:count]
        )


def measure_chunks(
    job: Job,
    unlearner: Unlearner,
    coalitions: Coalitions,
    names: Sequence[str],
    plan: Sequence[Any],
    tracker: Tracker | None = None,
    kind: str = "chunk",
) -> Measured:
    """Utilities of coalitions `(m, n)` in their order, whatever order the chunks finish in.

    plan: what the coalitions are a beginning of; kind: how the files of kept results begin.
    """
    inputs, numerics = inputs_of(job.source), environment.numerics(job.source.device)
    game, rows = game_key(inputs, unlearner, names, numerics), forgotten_rows(inputs, unlearner)
    tag = digest([plan, rows])[:8]
    known = recall(job.place.results, game, tag, rows, names)
    parts = together(coalitions, job.size)
    bits = [to_bits(coalitions[part]) for part in parts]
    gone = [forgotten(some, rows) for some in bits]
    said = f"{plan[0]} with seed {plan[1]}, players {', '.join(rows)}"
    calls = {
        i: {
            "source": job.source,
            "unlearner": unlearner,
            "utilities": names,
            "chunk": i,
            "bits": bits[i],
            "key": named(kind, game, tag, chunk_key(game, gone[i], names)),
            "known": {one: known[one] for one in bits[i] if one in known},
            "forgotten": gone[i],
            "plan": said,
        }
        for i in range(len(parts))
    }
    results = run_kept(measure, calls, job.place, job.params, job.runner, tracker)
    found = [results[i]["content"] for i in calls]
    back = np.argsort(np.concatenate(parts))
    utilities = {
        name: np.concatenate([part["utilities"][name] for part in found])[back].tolist()
        for name in found[0]["utilities"]
    }
    again = [row for part in found for row in part["resampled"]]
    return Measured(utilities, [again[i] for i in back] if again else [])


def measure_rounds(
    job: Job,
    unlearner: Unlearner,
    plan: Plan,
    endpoints: Utilities,
    ends: Resampled,
    tracker: Tracker,
) -> tuple[Plan, Measured]:
    """Measure a plan round by round until a rule of `valuation.stop` says that it is enough.

    endpoints, ends: utilities of nobody and everybody, and on bootstrap samples of the test rows.
    Gives the plan of what was measured, with the reason why it ended, and the utilities.
    """
    wanted = job.params.valuation
    names, stop = wanted.utilities, wanted.stop
    begin, done, looked = time.monotonic(), 0, False
    series = (series_of(plan), wanted.seed)
    found = Measured({}, [])
    steps = rounds(len(plan.coalitions), WINDOW * job.size, stop)
    for end in steps:
        part = plan.coalitions[done:end]
        found = found.joined(measure_chunks(job, unlearner, part, names, series, tracker))
        done = end
        if done == len(plan.coalitions) or not stop.looks:
            continue
        try:
            shorter = make_plan(wanted.estimator, plan.n, done, wanted.seed)
        except InputError:  # too few for an estimate as yet
            continue
        count = len(shorter.coalitions)
        if not np.array_equal(shorter.coalitions, plan.coalitions[:count]):
            continue  # all coalitions, planned otherwise than a few are
        first, looked = found.first(count), True
        again = [ends[0], *first.resampled, ends[1]] if ends else []
        so_far = estimate_values(
            shorter, job.source.players, first.utilities, endpoints, names[0], resampled=again
        )
        enough = reached(stop, so_far, time.monotonic() - begin)
        log.info("%d coalitions: %s", done, enough or "going on")
        if enough:
            why = f"{shorter.reason}; stopped before {len(plan.coalitions)}, as {enough}"
            return replace(shorter, reason=why), first
    if len(steps) > 1 and not looked:
        why = "no part of this plan gives values that valuation.stop could look at"
        plan = replace(plan, reason=f"{plan.reason}; {why}")
    return plan, found


def series_of(plan: Plan) -> str:
    """What plans continue each other: up to `LISTED` providers all coalitions come in the order of
    the Gaussian process.
    """
    listed = plan.estimator == "exact" and plan.n <= LISTED
    return "gaussian_process" if listed else plan.estimator


@dataclass(frozen=True)
class Found:
    """Retrained coalitions as bits, and what retraining and unlearning say of each `(k,)`.

    nobody: U(none) of a corrected partial game, really retrained; reason: why there are none.
    """

    bits: tuple[str, ...] = ()
    retrained: tuple[float, ...] = ()
    unlearned: tuple[float, ...] = ()
    nobody: float | None = None
    reason: str = ""


def retrain_some(
    job: Job, unlearner: Unlearner, plan: Coalitions, measured: Mapping[int, float]
) -> tuple[Found, Correction | None]:
    """Really retrain a few coalitions: to check unlearning, or to correct it.

    measured: utility of every coalition of the plan, by mask. With a correction, what unlearning
    says of a retrained coalition is what the others correct it to. Nothing is retrained where rows
    of providers are absent, nor where the plan was: retraining agrees with itself.
    """
    inputs, settings = inputs_of(job.source), job.params.fidelity
    if not inputs.all_rows:
        log.info(ROWS_ABSENT)
        return Found(reason=ROWS_ABSENT), None
    n, names = len(job.source.players), job.params.valuation.utilities[:1]
    exact = unlearner.exact(inputs.pretrained, inputs.staying(plan)).cpu().numpy()
    if exact.all():
        log.info(ALL_RETRAINED)
        return Found(reason=ALL_RETRAINED), None
    correcting = settings.retrain > 0
    if correcting:
        chosen = choose(n, settings.retrain, settings.seed, exact, plan)
    else:
        chosen = stratified(n, settings.coalitions, settings.seed)
    if not len(chosen):
        return Found(), None
    fit = chunk_size(inputs, RetrainUnlearner(), chosen, job.params.valuation)
    pieces = replace(job, size=min(fit, RETRAINED_TOGETHER))
    series = ("fidelity", settings.seed, correcting)
    again = measure_chunks(pieces, RetrainUnlearner(), chosen, names, series, kind="retrained")
    truth = again.utilities[names[0]]
    masks = to_masks(chosen)
    if correcting:
        learnt = correct(
            job.source,
            unlearner,
            plan,
            [measured[mask] for mask in to_masks(plan)],
            dict(zip(masks, truth, strict=True)),
            settings.seed,
        )
        said = dict(zip(learnt.masks, learnt.left_out.tolist(), strict=True))
        nobody = None
        if inputs.partial:  # there U(none) was unlearned like any other
            alone = np.zeros((1, n), dtype=bool)
            again = measure_chunks(
                pieces, RetrainUnlearner(), alone, names, series, kind="retrained"
            )
            nobody = again.utilities[names[0]][0]
        left_out = tuple(said[mask] for mask in masks)
        return Found(tuple(to_bits(chosen)), tuple(truth), left_out, nobody), learnt
    new = np.array([mask not in measured for mask in masks])
    said = dict(measured)
    if new.any():
        checked = measure_chunks(pieces, unlearner, chosen[new], names, series, kind="checked")
        said.update(zip(to_masks(chosen[new]), checked.utilities[names[0]], strict=True))
    return Found(tuple(to_bits(chosen)), tuple(truth), tuple(said[m] for m in masks)), None
