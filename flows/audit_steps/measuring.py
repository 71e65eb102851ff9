"""Step: measure coalitions of the auditor's choice again, with an empty store of results."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from flows.audit_steps.opening import OpenedRecord
from flows.audit_steps.run import AuditRun
from flows.valuation_steps.chunks import AT_MOST, Series, measure_chunks
from tasks.recall import RETRAINED
from unshapley.audit.correcting import needs_candidate
from unshapley.audit.recorded import CALIBRATED
from unshapley.audit.remeasured import Kind, compare_utilities
from unshapley.audit.sampling import SHARES, Sample, draw
from unshapley.estimators.base import Floats, Ints
from unshapley.fidelity.correction import FEWEST
from unshapley.game.coalitions import Coalitions
from unshapley.game.measuring import Measured, measure_endpoints
from unshapley.game.memory import chunk_size
from unshapley.unlearning import Unlearner
from unshapley.unlearning.auto import AutoUnlearner
from unshapley.unlearning.retrain import RetrainUnlearner

log = logging.getLogger("unshapley.run")

AUDITED = "audited"
"""How the names of results of an audit begin: no valuation takes them over, nor the other way."""


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
    recorded, setup, settings = opened.recorded, opened.setup, run.settings
    m = len(recorded.coalitions)
    rows, why = np.arange(m), dict.fromkeys(SHARES, 0)
    if not settings.everything and settings.sample < m:
        sample: Sample = draw(recorded, opened.derived.estimate, settings.sample, settings.seed)
        rows, why = sample.rows, {name: sample.count(name) for name in SHARES}
    with run.tracker.step("measure"):
        endpoints, of_ends = _check_endpoints(run, opened)
        retrained = opened.exact | (recorded.chunks == CALIBRATED)
        by_calibration = recorded.chunks[rows] == CALIBRATED
        parts = [
            (setup.unlearner, rows[~by_calibration]),
            (RetrainUnlearner(), rows[by_calibration]),
        ]
        found = [measure_rows(run, opened, kind, part) for kind, part in parts if len(part)]
        both = found[0].joined(found[1]) if len(found) > 1 else found[0]
        order = np.argsort(np.concatenate([part for _, part in parts]))
        measured = both.take(order)
        tolerance = dict.fromkeys(("unlearned", "retrained"), of_ends)
        for name, kind, among in (
            ("unlearned", setup.unlearner, ~retrained[rows]),
            ("retrained", RetrainUnlearner(), retrained[rows]),
        ):
            part = np.flatnonzero(among)
            if len(part):
                what = f"{len(part)} {name} coalitions"
                tolerance[name] = compare(run, opened, kind, rows[part], measured.take(part), what)
        candidate = _candidate(run, opened)
    run.figures["measured"] = {
        "coalitions": len(rows),
        "of": m,
        "chosen": why,
        "chunks_computed": run.tracker.computed,
        "chunks_from_a_cache": run.tracker.resumed + run.tracker.recalled.total(),
        "tolerance": {name: float(value) for name, value in tolerance.items()},
    }
    log.info("%d of %d coalitions measured again", len(rows), m)
    return Remeasured(rows, measured, endpoints, tolerance, candidate)


def measure_rows(run: AuditRun, opened: OpenedRecord, unlearner: Unlearner, rows: Ints) -> Measured:
    """Coalitions of the plan, by a task a chunk; the whole plan in the chunks of the run."""
    return measure_coalitions(run, opened, unlearner, opened.recorded.coalitions[rows])


def measure_coalitions(
    run: AuditRun, opened: OpenedRecord, unlearner: Unlearner, coalitions: Coalitions
) -> Measured:
    """Coalitions in their order; all of the plan in the chunks of the run, few in as many as there
    are workers.
    """
    setup, size = opened.setup, opened.setup.chunk_size
    if not run.settings.everything:
        size = min(size, max(1, math.ceil(len(coalitions) / run.params.run.workers)))
    if isinstance(unlearner, RetrainUnlearner):
        fitting = chunk_size(setup.game, unlearner, coalitions, run.params.valuation)
        size = min(AT_MOST[RETRAINED], fitting, size)
    series = Series(AUDITED, "audit", run.settings.seed)
    return measure_chunks(
        run.valuation_run, setup, coalitions, series, unlearner=unlearner, size=size, tracked=True
    )


def compare(
    run: AuditRun,
    opened: OpenedRecord,
    unlearner: Unlearner,
    rows: Ints,
    measured: Measured,
    what: str,
) -> float:
    """Check utilities of coalitions of the plan; the tolerance of the primary one."""
    planned = opened.recorded.measured.take(rows).utilities
    return _compared(run, opened, Kind("measure", what, unlearner, planned, measured))


def _compared(run: AuditRun, opened: OpenedRecord, kind: Kind) -> float:
    game = opened.setup.game
    scale = {name: float(np.abs(u).max()) for name, u in opened.recorded.columns.items()}
    checks, tolerance = compare_utilities(game, game.utilities, kind, scale)
    run.add(*checks)
    return tolerance


def _check_endpoints(run: AuditRun, opened: OpenedRecord) -> tuple[Measured, float]:
    """U(none) and U(all), and the tolerance of the primary utility."""
    recorded, setup = opened.recorded, opened.setup
    game, unlearner = setup.game, setup.unlearner
    found = measure_endpoints(game, unlearner, game.utilities)
    calibrated = int((recorded.chunks == CALIBRATED).sum()) >= FEWEST
    if game.partial and (calibrated or run.params.correction.coalitions):
        none = measure_coalitions(run, opened, RetrainUnlearner(), found.coalitions[:1])
        primary = [*none.primary_utilities, found.primary_utilities[1]]
        found.utilities[found.primary] = primary
    kind = Kind("measure", "U(none) and U(all)", unlearner, recorded.endpoints.utilities, found)
    return found, _compared(run, opened, kind)


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
    return np.array(measure_rows(run, opened, kind, rows).primary_utilities)
