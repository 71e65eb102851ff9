import numpy as np
import pytest

from tests.unshapley.games import from_masks
from unshapley.fidelity.gate import ALL_RETRAINED, ROWS_ABSENT, check_fidelity, leave_one_out
from unshapley.fidelity.implied import ImpliedErrors, Interval
from unshapley.fidelity.refusal import refusal
from unshapley.game.measuring import measure
from unshapley.game.utilities import build_utilities
from unshapley.unlearning import build_unlearner

TWO = np.eye(2, dtype=bool)


def test_the_verdict_is_against_leaving_the_model_as_it_is():
    assert check_fidelity(TWO, [0.5, 0.4], [0.52, 0.41], 0.9).status == "trusted"
    assert check_fidelity(TWO, [0.5, 0.4], [0.9, 1.4], 0.9).status == "untrusted"


def test_what_unlearning_explains_little_of_is_weak():
    strong = check_fidelity(TWO, [0.5, 0.4], [0.52, 0.41], 0.9).summary()
    weak = check_fidelity(TWO, [0.5, 0.4], [0.8, 0.8], 0.9).summary()
    assert (strong["status"], strong["weak"]) == ("trusted", False)
    assert (weak["status"], weak["weak"]) == ("trusted", True)
    assert strong["explained"] == pytest.approx(1 - (0.02**2 + 0.01**2) / (0.4**2 + 0.5**2))


def test_newton_is_trusted_and_the_control_is_not(inputs):
    coalitions = from_masks([1, 6, 12, 21, 23, 29], 5)
    full = inputs.record.score["neg_log_loss"]

    def verdict(name: str):
        truth, said = (
            measure(inputs, build_unlearner(n), coalitions, build_utilities(["neg_log_loss"]))[
                "neg_log_loss"
            ]
            for n in ("retrain", name)
        )
        return check_fidelity(coalitions, truth, said, full)

    newton, control = verdict("newton"), verdict("no_unlearning")
    assert (newton.status, control.status) == ("trusted", "untrusted")
    assert newton.retrained == control.retrained
    assert control.rmse == pytest.approx(newton.rmse_no_unlearning, abs=1e-6)


def test_nothing_retrained_is_unchecked():
    assert check_fidelity(TWO[:0], [], [], 1.0).status == "unchecked"
    assert check_fidelity(TWO[:0], [], [], 1.0, ROWS_ABSENT).summary()["status"] == "unchecked"


def test_where_all_is_retrained_there_is_nothing_to_compare():
    summary = check_fidelity(TWO[:0], [], [], 1.0, ALL_RETRAINED).summary()
    assert (summary["status"], summary["reason"]) == ("trusted", ALL_RETRAINED)
    assert summary["grade"] == "values"
    assert summary["rmse"] is summary["explained"] is None


def implied(rel_l2: float, other: float | None, apart: float, ranks: bool) -> ImpliedErrors:
    noise = None if other is None else Interval(other, 0.5 * other, 2 * other)
    return ImpliedErrors(Interval(rel_l2, 0.5 * rel_l2, 2 * rel_l2), noise, None, apart, ranks)


@pytest.mark.parametrize(
    ("errors", "grade", "status"),
    [
        (implied(0.05, 0.06, 0.5, ranks=False), "values", "trusted"),
        (implied(0.05, 0.04, 1.0, ranks=True), "ranks", "trusted"),
        (implied(1.10, 1.20, 0.1, ranks=False), "none", "untrusted"),
        (implied(0.05, None, 1.0, ranks=True), "ranks", "trusted"),
        (implied(0.30, 0.04, 0.91, ranks=False), "extremes", "trusted"),
        (implied(0.30, 0.04, 0.89, ranks=False), "none", "untrusted"),
    ],
)
def test_the_verdict_is_graded_by_what_it_implies_for_the_values(errors, grade, status):
    summary = check_fidelity(TWO, [0.5, 0.4], [0.52, 0.41], 0.9, implied=errors).summary()
    assert (summary["grade"], summary["status"]) == (grade, status)
    assert summary["implied"]["rel_l2"]["expected"] == errors.rel_l2.expected


def test_what_is_no_better_than_no_unlearning_has_no_grade_but_none():
    good = implied(0.05, 0.06, 1.0, ranks=True)
    fidelity = check_fidelity(TWO, [0.5, 0.4], [0.9, 1.4], 0.9, implied=good)
    assert (fidelity.grade, fidelity.status) == ("none", "untrusted")
    assert check_fidelity(TWO, [0.5, 0.4], [0.52, 0.41], 0.9).grade is None


@pytest.mark.parametrize(
    ("text", "named", "absent"), [(False, "newton", "ngram"), (True, "ngram", "newton")]
)
def test_a_refusal_names_unlearners_that_fit_the_rows(text, named, absent):
    bad = check_fidelity(leave_one_out(3), [1.0, 2.0, 3.0], [9.0, 9.0, 9.0], 2.0)
    words = refusal(bad, "here", "auto", text=text)
    assert named in words
    assert absent not in words
