"""What follows from the checks of an audit."""

import numpy as np
import pytest

from unshapley.audit import verdict
from unshapley.audit.verdict import Check, Verdict, compare_entries, compare_numbers

NAMES = ("a", "b", "c")


def numbers(found, tolerance=0.1, recorded=(1.0, 2.0, np.nan)):
    return compare_numbers("measure", "utilities", recorded, found, tolerance, NAMES)


@pytest.mark.parametrize(
    ("found", "outcome", "differing"),
    [
        ([1.0, 2.0, np.nan], verdict.IDENTICAL, 0),
        ([1.0, 2.05, np.nan], verdict.WITHIN, 1),
        ([1.2, 2.05, np.nan], verdict.DIFFERENT, 1),
        ([1.0, 2.0, 3.0], verdict.DIFFERENT, 1),
        ([1.0, np.inf, np.nan], verdict.DIFFERENT, 1),
        ([1.0, 2.0], verdict.DIFFERENT, 1),
    ],
)
def test_numbers_are_identical_within_tolerance_or_different(found, outcome, differing):
    check = numbers(found)
    assert (check.outcome, check.differing) == (outcome, differing)


def test_each_number_has_its_own_tolerance_and_the_worst_is_named_first():
    check = numbers([1.3, 2.5, np.nan], [0.1, 1.0, 0.0])
    assert check.details == ("a: recorded 1, found 1.3",)
    assert numbers([1.2, 2.5, np.nan]).details[0].startswith("b:")


def test_the_worst_check_decides_and_the_first_step_is_named():
    same, other = compare_entries("plan", "p", [1], [1], "a"), numbers([1.2, 2, 3])
    later = compare_entries("publish", "t", ["x"], ["y"], "a")
    near, missing = numbers([1.05, 2, np.nan]), Check("inputs", "test set", verdict.MISSING)
    assert Verdict((same,)).outcome == verdict.REPRODUCED
    assert Verdict((same, near)).outcome == verdict.REPRODUCED_WITHIN
    assert Verdict((near, missing)).exit_code == 5
    found = Verdict((later, other, missing, same))
    assert (found.outcome, found.since, found.exit_code) == (verdict.NOT_REPRODUCED, "measure", 4)


def test_numbers_of_other_code_are_no_proof_but_other_bytes_are():
    other = numbers([1.2, 2, 3])
    assert Verdict((other,), other_code=True).outcome == verdict.NOT_CHECKABLE
    changed = Check("inputs", "test set", verdict.DIFFERENT)
    assert Verdict((other, changed), other_code=True).outcome == verdict.NOT_REPRODUCED


def test_a_machine_out_of_memory_is_no_finding():
    """Seen: an audit said "not reproduced" where Arrow could not start a thread to read a table."""
    with pytest.raises(MemoryError):
        verdict.unreadable("plan", "tables", ValueError("Failed to launch worker thread"))
    assert verdict.unreadable("plan", "tables", ValueError("no number")).outcome == "different"
