import numpy as np
import pytest

from unshapley.fidelity.gate import ALL_RETRAINED, ROWS_ABSENT, check_fidelity, stratified
from unshapley.game.measuring import measure
from unshapley.game.utilities import build_utilities
from unshapley.unlearning import build_unlearner

TWO = np.eye(2, dtype=bool)


@pytest.mark.parametrize(("n", "count", "found"), [(14, 8, 8), (3, 8, 6), (2, 2, 2)])
def test_coalitions_are_distinct_proper_and_of_many_sizes(n, count, found):
    chosen = stratified(n, count, seed=0)
    assert len(np.unique(chosen, axis=0)) == found
    sizes = chosen.sum(axis=1)
    assert sizes.min() >= 1
    assert sizes.max() <= n - 1
    assert len(set(sizes)) >= min(n - 1, count) - 2


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
    coalitions = stratified(5, 6, seed=0)
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
    assert summary["rmse"] is summary["explained"] is None
