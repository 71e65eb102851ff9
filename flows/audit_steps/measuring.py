"""Step: measure coalitions of the auditor's choice again, with an empty store of results."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from flows.audit_steps.opening import OpenedRecord
from flows.audit_steps.run import AuditRun
from unshapley.audit.correcting import needs_candidate
from unshapley.audit.effort import Effort, effort
from unshapley.audit.remeasured import Kind, compare_utilities
from unshapley.audit.sampling import RANDOM, SHARES, Sample, chance, draw, surely_found
from unshapley.audit.verdict import compare_numbers
from unshapley.estimators.base import Floats, Ints
from unshapley.fidelity.correction import FEWEST
from unshapley.game.coalitions import Coalitions
from unshapley.game.measuring import Measured, measure_endpoints
from unshapley.game.memory import chunk_size
from unshapley.game.rounding import UNKNOWN, of_flipped_rows
from unshapley.unlearning import Unlearner
from unshapley.unlearning.auto import AutoUnlearner
from unshapley.unlearning.retrain import RetrainUnlearner
from unshapley.valuing.execution import AT_MOST, RETRAINED, TRIED, Series

log = logging.getLogger("unshapley.run")

AUDITED = "audited"
"""How the names of results of an audit begin: no valuation takes them over, nor the other way."""

FORGED = (0.01, 0.02, 0.05)
"""Shares of forged coalitions, for which it is said how surely the random part holds one."""


@dataclass(frozen=True)
class Remeasured:
    """What was measured again.

    rows: of the plan, ascending `(k,)`; measured: in their order; endpoints: U(none) and U(all);
    tolerance: of the primary utility of an unlearned, and of a retrained coalition; candidate: what
    the unlearner gives for those that calibration has retrained, which is not recorded.
    """

    rows: Ints
    measured: Measured
    endpoints: Measured
    tolerance: Mapping[str, float]
    candidate: Floats | None


def measure_again(run: AuditRun, opened: OpenedRecord) -> Remeasured:
    """Sample, measure and compare utilities; all of them, in the chunks of the run, where the
    auditor asks for it.
    """
    with run.tracker.step("measure"):
        work = _effort(run, opened)
        sample = _sample(run, opened, work)
        measured = _measure(run, opened, sample.rows)
        tolerance = _compare(run, opened, sample.rows, measured)
        endpoints = _endpoints(run, opened)
        _check_endpoints(run, opened, endpoints, tolerance)
        candidate = _candidate(run, opened)
    m, drawn = len(opened.recorded.coalitions), sample.count(RANDOM) or len(sample.rows)
    run.figures["measured"] = {
        "coalitions": len(sample.rows),
        "of": m,
        "chosen": {name: sample.count(name) for name in SHARES},
        "chunks_computed": run.tracker.computed,
        "chunks_from_a_cache": run.tracker.resumed + run.tracker.recalled.total(),
        "share_of_work": work.share(len(sample.rows)),
        "tolerance": tolerance,
        "found_if_forged": {
            str(share): chance(m, max(1, round(share * m)), drawn) for share in FORGED
        },
        "surely_found": surely_found(m, drawn),
    }
    log.info(
        "%d of %d coalitions measured again", len(sample.rows), len(opened.recorded.coalitions)
    )
    return Remeasured(sample.rows, measured, endpoints, tolerance, candidate)


def _effort(run: AuditRun, opened: OpenedRecord) -> Effort:
    checked, setup = len(opened.derived.fidelity.coalitions), opened.setup
    return effort(opened.recorded, setup.game, setup.unlearner, checked, run.settings.retrain)


def _sample(run: AuditRun, opened: OpenedRecord, work: Effort) -> Sample:
    """As many as the auditor asks for, or as a part of the run's work pays for."""
    settings, m = run.settings, len(opened.recorded.coalitions)
    count = work.affordable(m) if settings.sample is None else settings.sample
    if settings.everything or count >= m:
        return Sample(np.arange(m), ())
    return draw(opened.recorded, opened.derived.estimate, count, settings.seed)


def _measure(run: AuditRun, opened: OpenedRecord, rows: Ints) -> Measured:
    """Utilities of rows of the plan, each by what it was measured by."""
    by_calibration = opened.recorded.by_calibration[rows]
    unlearned, retrained = rows[~by_calibration], rows[by_calibration]
    measured = None
    for unlearner, part in ((opened.setup.unlearner, unlearned), (RetrainUnlearner(), retrained)):
        if len(part):
            new = measure_rows(run, opened, unlearner, part)
            measured = measured.joined(new) if measured else new
    assert measured is not None
    return measured.take(np.argsort(np.concatenate([unlearned, retrained])))


def _compare(
    run: AuditRun, opened: OpenedRecord, rows: Ints, measured: Measured
) -> dict[str, float]:
    """Check what was measured; the tolerance of the primary utility by kind."""
    recorded, setup = opened.recorded, opened.setup
    retrained = (opened.exact | recorded.by_calibration)[rows]
    scale = {name: float(np.abs(values).max()) for name, values in recorded.columns.items()}
    tolerance = dict.fromkeys(("unlearned", "retrained"), UNKNOWN * scale[recorded.primary])
    for name, unlearner, among in (
        ("unlearned", setup.unlearner, ~retrained),
        ("retrained", RetrainUnlearner(), retrained),
    ):
        part = np.flatnonzero(among)
        if len(part):
            what = f"{len(part)} {name} coalitions"
            stored = recorded.measured.take(rows[part]).utilities
            kind = Kind("measure", what, unlearner, stored, measured.take(part), setup.chunk_size)
            checks, tolerance[name] = compare_utilities(setup.game, kind, scale)
            run.add(*checks)
    return tolerance


def measure_rows(run: AuditRun, opened: OpenedRecord, unlearner: Unlearner, rows: Ints) -> Measured:
    """Coalitions of the plan, by a task a chunk; the whole plan in the chunks of the run."""
    return measure_coalitions(run, opened, unlearner, opened.recorded.coalitions[rows])


def measure_coalitions(
    run: AuditRun,
    opened: OpenedRecord,
    unlearner: Unlearner,
    coalitions: Coalitions,
    kind: str | None = None,
) -> Measured:
    """Coalitions in their order; all of the plan in the chunks of the run, few in as many as there
    are workers.

    kind: `RETRAINED` or `TRIED`, which have smaller chunks.
    """
    setup, size = opened.setup, opened.setup.chunk_size
    if not run.settings.everything:
        size = min(size, max(1, math.ceil(len(coalitions) / run.params.run.workers)))
    kind = RETRAINED if isinstance(unlearner, RetrainUnlearner) else kind
    if kind:
        fitting = chunk_size(setup.game, unlearner, coalitions, run.params.valuation)
        size = min(AT_MOST[kind], fitting, size)
    series = Series(AUDITED, "audit", run.settings.seed)
    return opened.execution.measure(
        setup, coalitions, series, unlearner=unlearner, size=size, tracked=True
    )


def _endpoints(run: AuditRun, opened: OpenedRecord) -> Measured:
    """U(none) and U(all)."""
    recorded, game = opened.recorded, opened.setup.game
    found = measure_endpoints(game, opened.setup.unlearner, game.utilities)
    calibrated = int(recorded.by_calibration.sum()) >= FEWEST
    if game.partial and (calibrated or run.params.correction.coalitions):
        none = measure_coalitions(run, opened, RetrainUnlearner(), found.coalitions[:1])
        primary = [*none.primary_utilities, found.primary_utilities[1]]
        found.utilities[found.primary] = primary
    return found


def _check_endpoints(
    run: AuditRun, opened: OpenedRecord, found: Measured, tolerance: Mapping[str, float]
) -> None:
    recorded = opened.recorded
    for column, values in found.utilities.items():
        stored = recorded.columns[column]
        limit = UNKNOWN * float(np.abs(stored).max()) + of_flipped_rows(opened.setup.game, column)
        if column == found.primary:
            limit = max(limit, *tolerance.values())
        what, names = f"{column}: U(none) and U(all)", ("U(none)", "U(all)")
        run.add(compare_numbers("measure", what, stored[:2], values, limit, names))


def _candidate(run: AuditRun, opened: OpenedRecord) -> Floats | None:
    """Primary utilities, as the chosen candidate of `auto` gives them, of what was retrained to
    choose it.
    """
    recorded, setup = opened.recorded, opened.setup
    if not needs_candidate(recorded, setup.unlearner):
        return None
    assert isinstance(setup.unlearner, AutoUnlearner)
    kind = setup.unlearner.candidate(setup.game.pretrained)
    rows = np.flatnonzero(recorded.by_calibration)
    tried = recorded.coalitions[rows]
    return np.array(measure_coalitions(run, opened, kind, tried, TRIED).primary_utilities)
