"""What the fidelity check implies for the values: its figures, grade and status once more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from flows.audit_steps.measuring import Remeasured, measure_coalitions
from flows.audit_steps.opening import OpenedRecord
from flows.audit_steps.run import AuditRun
from unshapley.audit.verdict import UNEXAMINED, Check, compare_entries, compare_numbers
from unshapley.estimators.base import Ints
from unshapley.fidelity.comparison import Retrained, UnlearnedValues
from unshapley.fidelity.gate import Fidelity
from unshapley.fidelity.implied import ImpliedErrors, Interval, implied_errors
from unshapley.unlearning.retrain import RetrainUnlearner
from unshapley.valuing.checking import TWICE

FOLLOWS = 1e-5
"""Tolerance of figures that follow from the recorded retrainings; all are between 0 and about 1."""
WHAT = "what the fidelity check implies for the values"


def check_implied(
    run: AuditRun, opened: OpenedRecord, measured: Remeasured, values: UnlearnedValues, rows: Ints
) -> None:
    """Figures, grade and status of the fidelity check, from its recorded retrainings at `rows`.

    What another seed of retraining changes is not stored: it is retrained where the auditor asks
    for everything. In a corrected game the errors are draws of the correction: not looked at.
    """
    stated = opened.recorded.manifest["fidelity"]["implied"]
    if not stated or run.params.correction.coalitions:
        run.add(Check("retrain", WHAT, UNEXAMINED))
        return
    seed, retrained = run.params.fidelity.seed, np.array(opened.derived.fidelity.retrained)
    other = np.array([])
    if run.settings.everything:
        again = RetrainUnlearner(seed=opened.setup.game.pretrained.recipe.seed + 1)
        coalitions = values.coalitions[rows[:TWICE]]
        other = np.array(measure_coalitions(run, opened, again, coalitions).primary_utilities)
    known = Retrained(rows, retrained, other)
    found = implied_errors(values.value, values.missed(known, seed), values.seed_noise(known, seed))
    names = ["rel_l2", "spearman", "rel_l2_other_seed"]
    spans = [name for name in names if stated[name] and getattr(found, name)]
    a = [stated[name][end] for name in spans for end in ("expected", "low", "high")]
    b = [
        getattr(getattr(found, name), end) for name in spans for end in ("expected", "low", "high")
    ]
    labels = [f"{name}.{end}" for name in spans for end in ("expected", "low", "high")]
    a, b = [*a, stated["best_above_worst"]], [*b, found.best_above_worst]
    limit = FOLLOWS + 10 * measured.tolerance["retrained"] / _spread(values)
    if run.same_machine and not len(other):  # nothing in it was measured again
        limit = 0.0
    run.add(compare_numbers("retrain", WHAT, a, b, limit, [*labels, "best_above_worst"]))
    if found.rel_l2_other_seed is None and stated["rel_l2_other_seed"]:
        run.add(Check("retrain", "what another seed of retraining changes", UNEXAMINED))
        found = replace(found, rel_l2_other_seed=Interval(**stated["rel_l2_other_seed"]))
    _check_grade(run, opened.derived.fidelity, found)


def _check_grade(run: AuditRun, derived: Fidelity, implied: ImpliedErrors) -> None:
    fidelity = replace(derived, implied=implied)
    useful = fidelity.beats_no_unlearning and implied.grade != "none"
    fidelity = replace(fidelity, status="trusted" if useful else "untrusted")
    found: dict[str, Any] = fidelity.summary()
    names = ["status", "grade", "weak"]
    stated = run.manifest["fidelity"]
    a, b = ([entries[name] for name in names] for entries in (stated, found))
    run.add(compare_entries("retrain", "verdict of the fidelity check", a, b, names))


def _spread(values: UnlearnedValues) -> float:
    return float(np.linalg.norm(values.value)) or 1.0
