"""Step: retrain a few coalitions, of the recorded check and others, to see if its verdict holds."""

from __future__ import annotations

import numpy as np
from scipy import special

from flows.audit_steps.implied import check_implied
from flows.audit_steps.measuring import Remeasured, measure_coalitions
from flows.audit_steps.opening import OpenedRecord
from flows.audit_steps.run import AuditRun
from unshapley.audit.verdict import (
    DIFFERENT,
    EXPECTED,
    UNEXAMINED,
    Check,
    compare_entries,
    compare_numbers,
)
from unshapley.estimators.base import Ints
from unshapley.fidelity.comparison import UnlearnedValues, unlearned_values
from unshapley.game.coalitions import positions, to_bits
from unshapley.unlearning.retrain import RetrainUnlearner

ALARM = 1e-4
"""Probability that errors of the auditor's coalitions are so much larger by chance alone."""


def retrain_again(run: AuditRun, opened: OpenedRecord, measured: Remeasured) -> None:
    """Some of the recorded retrainings, and as many of the auditor's own choice."""
    recorded, fidelity = opened.recorded, opened.derived.fidelity
    if not len(fidelity.coalitions):
        why = (str(recorded.manifest["fidelity"]["reason"] or "nothing was retrained"),)
        run.add(Check("retrain", "fidelity check", UNEXAMINED, 0, details=why))
        return
    values = unlearned_values(
        opened.setup.game,
        opened.setup.unlearner,
        opened.exact | recorded.by_calibration,
        recorded.plan,
        recorded.table,
        opened.derived.estimate,
    )
    rows = positions(fidelity.coalitions, values.coalitions)
    _check_choice(run, values, rows)
    with run.tracker.step("retrain"):
        check_implied(run, opened, measured, values, rows)
        _recorded_ones(run, opened, measured.tolerance["retrained"])
        _own_ones(run, opened, values, rows)


def _check_choice(run: AuditRun, values: UnlearnedValues, rows: Ints) -> None:
    """Whether the recorded coalitions are those that the seed draws: nobody picked the nicest."""
    what = "choice of the fidelity check's coalitions"
    if run.params.correction.coalitions:
        return  # spread over the plan: learnt again from all of them
    drawn = values.drawn(run.params.fidelity.seed)[: len(rows)]
    names = to_bits(values.coalitions[rows])
    run.add(compare_entries("retrain", what, rows.tolist(), drawn.tolist(), names))


def _recorded_ones(run: AuditRun, opened: OpenedRecord, tolerance: float) -> None:
    fidelity, settings = opened.derived.fidelity, run.settings
    count = len(fidelity.coalitions)
    if not settings.everything:
        count = min(count, settings.retrain)
    if not count:
        return
    rng = np.random.default_rng([settings.seed, 1])
    some = np.sort(rng.permutation(len(fidelity.coalitions))[:count])
    coalitions = fidelity.coalitions[some]
    found = measure_coalitions(run, opened, RetrainUnlearner(), coalitions).primary_utilities
    recorded = np.array(fidelity.retrained)[some]
    what = f"{count} of {len(fidelity.coalitions)} recorded retrainings"
    names = to_bits(coalitions)
    run.add(compare_numbers("retrain", what, recorded, found, tolerance, names))


def _own_ones(run: AuditRun, opened: OpenedRecord, values: UnlearnedValues, known: Ints) -> None:
    """Errors of unlearning on other coalitions than the recorded check has seen."""
    recorded, settings = opened.recorded, run.settings
    order = [row for row in values.drawn(settings.seed) if row not in known and row > 0]
    rows = np.array(order[: settings.retrain], dtype=np.int64)
    stated = recorded.manifest["fidelity"]["rmse"]
    if not len(rows) or not stated:
        return
    coalitions = values.coalitions[rows]
    truth = np.array(
        measure_coalitions(run, opened, RetrainUnlearner(), coalitions).primary_utilities
    )
    error = float(np.sqrt(np.mean((values.utilities[rows] - truth) ** 2)))
    nothing = float(np.sqrt(np.mean((values.utilities[-1] - truth) ** 2)))
    recorded_count = len(opened.derived.fidelity.coalitions)
    limit = stated * float(np.sqrt(special.fdtri(len(rows), recorded_count, 1 - ALARM)))
    run.figures["fidelity"] = {
        "coalitions": len(rows),
        "rmse": error,
        "rmse_no_unlearning": nothing,
        "recorded_rmse": stated,
        "limit": limit,
    }
    what = f"error of unlearning on {len(rows)} coalitions of the auditor's choice"
    detail = f"root mean squared error {error:.4g}, without unlearning {nothing:.4g}"
    detail += f"; recorded is {stated:.4g}"
    outcome = EXPECTED if error <= limit else DIFFERENT
    run.add(Check("retrain", what, outcome, len(rows), 0, error, limit, (detail,)))
