"""Step: validate the tables again, and load the recorded game and what was measured of it."""

from __future__ import annotations

import importlib.metadata
import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flows.audit_steps.run import AuditRun
from flows.valuation_steps.in_tasks import InTasks
from flows.valuation_steps.loading import name_source
from flows.valuation_steps.validating import ValidatedTables
from tasks.expectations.validation import state_of, verdict
from tasks.keeping import retried
from tasks.load import load
from tasks.validate import validate
from tasks.worker import WORKER
from unshapley.audit.derivation import derive
from unshapley.audit.recorded import RecordedValuation, check_plan, read_recorded
from unshapley.audit.statements import check_statements
from unshapley.audit.surroundings import differences, is_other_code
from unshapley.audit.verdict import (
    DIFFERENT,
    UNEXAMINED,
    UNREADABLE,
    Check,
    compare_entries,
    unreadable,
)
from unshapley.errors import ValidationError
from unshapley.files import read_json
from unshapley.results.valuation import Valuation
from unshapley.unlearning import build_unlearner
from unshapley.valuing.planning import MeasuringPlan, fitting_coalitions, with_chunk_size

log = logging.getLogger("unshapley.run")


@dataclass(frozen=True)
class OpenedRecord:
    """recorded: what the files hold; derived: what the stored utilities give; execution: how it is
    measured again; setup: the game, and how it was measured; exact: coalitions that the unlearner
    itself retrained `(m,)`.
    """

    recorded: RecordedValuation
    derived: Valuation
    execution: InTasks
    setup: MeasuringPlan
    exact: NDArray[np.bool_]


def open_record(run: AuditRun) -> OpenedRecord | None:
    """None where what was recorded gives no valuation at all: a check says why."""
    with run.tracker.step("open"):
        try:
            return _opened(run, _validate(run))
        except UNREADABLE as error:  # of the record: its files are there and whole
            run.add(unreadable("plan", "values and game", error))
            return None


def _opened(run: AuditRun, tables: ValidatedTables) -> OpenedRecord:
    recorded = read_recorded(run.project)
    run.add(check_plan(recorded))
    derived, (execution, setup) = derive(recorded), _setup(run, recorded, tables)
    game, unlearner = setup.game, setup.unlearner
    exact = unlearner.exact(game.pretrained, game.staying(recorded.coalitions)).cpu().numpy()
    other = is_other_code(differences(run.manifest))
    run.add(*check_statements(recorded, game, unlearner, exact, other_code=other))
    return OpenedRecord(recorded, derived, execution, setup, exact)


def _validate(run: AuditRun) -> ValidatedTables:
    """What Great Expectations finds, against validation.json and who is in quarantine."""
    state = state_of(run.project)
    found = validate(run.project, run.params.valuation.targets, state)
    path = run.project.valuation / "validation.json"
    written = read_json(path, do="restore it with `dvc checkout`")
    version = run.manifest["versions"]["great-expectations"]
    if version != importlib.metadata.version("great-expectations"):
        why = (f"was written by Great Expectations {version}, which words findings otherwise",)
        run.add(Check("validate", "validation.json", UNEXAMINED, len(written), details=why))
    else:
        names = [report["table"] for report in found]
        run.add(compare_entries("validate", "validation.json", written, found, names))
    try:
        quarantined = verdict(found, run.params.validation.policy)
    except ValidationError as error:
        details = (str(error).splitlines()[0],)
        run.add(Check("validate", "tables", DIFFERENT, 1, 1, details=details))
        quarantined = dict(run.manifest["quarantined"])
    recorded = run.manifest["quarantined"]
    same = compare_entries("validate", "quarantined", [recorded], [quarantined], ["providers"])
    run.add(same)
    return ValidatedTables(state, found, recorded)


def _setup(
    run: AuditRun, recorded: RecordedValuation, tables: ValidatedTables
) -> tuple[InTasks, MeasuringPlan]:
    """How the run measured, with the unlearner as calibration or a budget has set it."""
    _, options = run.manifest["unlearner"]
    unlearner = build_unlearner(run.params.valuation.unlearner, options)
    source = name_source(run.valuation_run, tables, unlearner.needs)
    source = replace(source, players=recorded.players)
    load.with_options(**retried(run.params.run))(source, run.workers.engine)
    fitting = fitting_coalitions(run.params.valuation, recorded.plan.n)
    setup = MeasuringPlan(WORKER.load(source), unlearner, recorded.plan, fitting)
    execution = InTasks(run.valuation_run, source)
    return execution, with_chunk_size(setup, run.params.valuation)
