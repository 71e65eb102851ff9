"""Step: learn the correction again, and derive every table from the stored utilities."""

from __future__ import annotations

import numpy as np

from flows.audit_steps.measuring import Remeasured
from flows.audit_steps.opening import OpenedRecord
from flows.audit_steps.run import AuditRun
from unshapley.audit.correcting import LearntAgain, learn_again
from unshapley.audit.derivation import check_tables, derive
from unshapley.audit.page import check_page
from unshapley.audit.verdict import UNREADABLE, compare_entries, compare_numbers, unreadable
from unshapley.estimators import CORRECTION, TEST_SET
from unshapley.estimators.base import Floats
from unshapley.fidelity.correction import with_correction
from unshapley.game.coalitions import to_bits
from unshapley.results.valuation import with_test_noise


def derive_again(run: AuditRun, opened: OpenedRecord, measured: Remeasured) -> None:
    """Values, intervals and all tables; errors that were not measured are said to be so."""
    recorded, estimate = opened.recorded, opened.derived.estimate
    errors: dict[str, Floats] = {}
    with run.tracker.step("correct"):
        learnt = _check_correction(run, opened, measured)
        if learnt is not None and estimate.operator is not None:
            errors[CORRECTION] = with_correction(learnt.correction, estimate).errors[CORRECTION]
    samples = measured.measured.resampled
    complete = len(measured.rows) == len(recorded.coalitions) and samples.size
    if complete and estimate.operator is not None:
        none, full = measured.endpoints.resampled
        resampled = np.vstack([none, samples, full])
        errors[TEST_SET] = with_test_noise(estimate, resampled).errors[TEST_SET]
    with run.tracker.step("derive"):
        try:
            derived = derive(recorded, errors)
            tolerance, same = measured.tolerance["unlearned"], run.same_machine
            run.add(*check_tables(recorded, derived, tolerance, same_machine=same))
            run.add(check_page(recorded, derived))
        except UNREADABLE as error:
            run.add(unreadable("publish", "tables", error))


def _check_correction(
    run: AuditRun, opened: OpenedRecord, measured: Remeasured
) -> LearntAgain | None:
    """What is to be added to the utilities, if anything is, against the recorded column."""
    recorded = opened.recorded
    learnt = None
    if opened.setup.game.all_rows:
        tolerance = measured.tolerance["unlearned"]
        setup, candidate = opened.setup, measured.candidate
        vanishing = setup.unlearner.vanishes
        learnt = learn_again(
            recorded, setup.game, opened.exact, candidate, tolerance, vanishing=vanishing
        )
    applies, there = learnt is not None and learnt.applies, recorded.corrected
    run.add(
        compare_entries(
            "correct",
            "whether utilities are corrected",
            [there is not None],
            [applies],
            ["correction"],
        )
    )
    if learnt is None or not applies or there is None:
        return None
    names = to_bits(recorded.coalitions)
    corrected = learnt.correction.corrected
    run.add(
        compare_numbers("correct", "corrected utilities", there, corrected, learnt.tolerance, names)
    )
    return learnt
