"""Calibration chooses by what real retraining shows."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from tests.unshapley.games import diabetes_game, digits_game
from unshapley.config import CalibrationSettings
from unshapley.errors import InputError, UnshapleyError
from unshapley.estimators import make_plan
from unshapley.fidelity.calibration import (
    LEAST,
    calibrate,
    largest_affordable_share,
)
from unshapley.fidelity.correction import correct
from unshapley.game.coalitions import keys
from unshapley.game.kept import kept_rows
from unshapley.game.measuring import measure
from unshapley.game.utilities import build_utilities
from unshapley.game.work import flop_of_coalitions
from unshapley.unlearning.auto import CANDIDATES, AutoUnlearner, rows_kept
from unshapley.unlearning.retrain import RetrainUnlearner

PLAN = make_plan("exact", 7, 126, 0).coalitions
UTILITIES = build_utilities(["neg_log_loss"])


@cache
def digits():
    return digits_game(providers=7, steps=100)


class Measuring:
    """Measures for real, but where a test says otherwise, and notes what it was asked for."""

    def __init__(self, game=None, utility="neg_log_loss", instead=None):
        self.game, self.utility, self.instead = game or digits(), utility, instead or {}
        self.asked = []

    def __call__(self, unlearner, coalitions):
        self.asked.append((unlearner.name, len(coalitions)))
        if unlearner.name in self.instead:
            return self.instead[unlearner.name](coalitions)
        utilities = build_utilities([self.utility])
        return np.array(measure(self.game, unlearner, coalitions, utilities)[self.utility])


def found(measuring, auto=None, game=None, **settings):
    auto = auto or AutoUnlearner()
    return calibrate(game or digits(), auto, PLAN, PLAN, CalibrationSettings(**settings), measuring)


def truth(coalitions):
    return np.array(measure(digits(), RetrainUnlearner(), coalitions, UTILITIES)["neg_log_loss"])


def test_the_one_that_gives_what_retraining_gives_is_chosen():
    measuring = Measuring(instead={"shrink_finetune": truth})
    calibration = found(measuring)
    assert calibration.unlearner.method == "shrink_finetune"
    np.testing.assert_array_equal(calibration.unlearned, calibration.retrained)
    assert [trial.method for trial in calibration.trials] == list(CANDIDATES)
    by_method = {trial.method: trial for trial in calibration.trials}
    assert by_method["shrink_finetune"].error == 0
    tried = [t for t in calibration.trials if t.error is not None]
    assert len(tried) > 4
    assert all(t.error > 0 for t in tried if t.method != "shrink_finetune")


def test_an_error_that_is_the_same_for_all_of_a_size_is_not_held_against_a_candidate():
    """It is larger than the errors of all others in utilities, and leaves values as they are."""

    def off(coalitions):
        return truth(coalitions) - 2.0 * (1 - coalitions.mean(axis=1))

    calibration = found(Measuring(instead={"shrink_finetune": off}), coalitions=20)
    trials = {trial.method: trial for trial in calibration.trials}
    assert trials["shrink_finetune"].rmse > 2 * trials["finetune"].rmse
    assert calibration.unlearner.method == "shrink_finetune"


def test_of_a_method_that_begins_anew_it_is_not_assumed_that_it_errs_less_where_less_is_forgotten():
    """The same residuals leave its values less certain."""

    def off(coalitions):
        return truth(coalitions) - 0.3 * coalitions[:, 2] * (1 - coalitions.mean(axis=1))

    calibration = found(Measuring(instead={"truncated_retrain": off, "finetune": off}))
    trials = {trial.method: trial for trial in calibration.trials}
    assert trials["truncated_retrain"].rmse == trials["finetune"].rmse
    assert trials["truncated_retrain"].error > 1.1 * trials["finetune"].error


def test_each_is_retrained_once_and_those_kept_by_all_share_the_cost():
    measuring = Measuring()
    calibration = found(measuring)
    retrained = [count for name, count in measuring.asked if name == "retrain"]
    assert retrained == [len(calibration.rows)]
    assert len(calibration.extra) == LEAST
    exact = calibration.unlearner.exact(digits().pretrained, digits().staying(PLAN)).numpy()
    assert not exact[calibration.extra].any()
    assert exact[np.setdiff1d(calibration.rows, calibration.extra)].all()
    spent = flop_of_coalitions(digits(), RetrainUnlearner(), PLAN)
    assert calibration.cost_share > spent[calibration.extra].sum() / spent.sum()


def test_more_are_retrained_where_the_share_pays_for_them():
    few, many = (found(Measuring(), share=share) for share in (0.01, 0.3))
    assert len(few.extra) == LEAST < len(many.extra)
    work = flop_of_coalitions(digits(), RetrainUnlearner(), PLAN)
    assert 0.2 < work[many.extra].sum() / work.sum() <= 0.3


def test_the_smallest_are_paid_for_by_cost():
    share = largest_affordable_share(digits(), PLAN, 0.05)
    auto = AutoUnlearner(retrain_below=share)
    exact = auto.exact(digits().pretrained, digits().staying(PLAN)).numpy()
    work = flop_of_coalitions(digits(), RetrainUnlearner(), PLAN)
    assert 0.03 < work[exact].sum() / work.sum() <= 0.05
    assert work[exact].max() <= work[~exact].min() * 1.001
    assert largest_affordable_share(digits(), PLAN, 0.0) == 0.0


def test_who_is_retrained_does_not_depend_on_the_last_bit_of_a_share():
    """It depends on the batch that a share is computed in."""
    share = np.sort(rows_kept(digits().pretrained, digits().staying(PLAN)).numpy())
    below = largest_affordable_share(digits(), PLAN, 0.05)
    assert np.abs(share - below).min() > 1e-9


def test_a_candidate_that_diverges_is_left_out_with_the_reason():
    def diverged(coalitions):
        raise UnshapleyError("finetune gave 3 of 16 models that are not finite\n  do: something")

    calibration = found(Measuring(instead={"finetune": diverged}))
    trial = next(trial for trial in calibration.trials if trial.method == "finetune")
    assert (trial.error, trial.rmse) == (None, None)
    assert trial.reason == "finetune gave 3 of 16 models that are not finite"
    assert calibration.unlearner.method != "finetune"
    everyone = {kind.name: diverged for kind in CANDIDATES.values()}
    with pytest.raises(UnshapleyError, match="no candidate of auto gave finite models: finetune"):
        found(Measuring(instead=everyone))


def test_too_few_coalitions_say_what_enough_would_cost():
    with pytest.raises(InputError, match=r"3 coalitions are too few.*\n.*8 take about \d+\.\d%"):
        found(Measuring(), coalitions=3)


def test_few_coalitions_are_all_retrained_without_a_choice():
    measuring = Measuring()
    few = make_plan("exact", 3, 6, 0).coalitions
    game = digits_game(providers=3, steps=20)
    calibration = calibrate(game, AutoUnlearner(), few, few, CalibrationSettings(), measuring)
    assert not measuring.asked
    assert calibration.unlearner.exact(game.pretrained, game.staying(few)).all()
    assert calibration.summary()["method"] == "retrain"


def test_nothing_is_tried_where_calibration_retrains_all_that_is_left():
    """Nobody in a partial game is no coalition of the plan, and must be retrained like them."""
    measuring = Measuring()
    calibration = found(measuring, auto=AutoUnlearner(cost=0.0), coalitions=len(PLAN))
    assert not measuring.asked
    nobody = torch.zeros(1, 7, dtype=torch.bool)
    assert calibration.unlearner.exact(digits().pretrained, nobody).all()


def test_without_rows_it_takes_the_one_that_reads_none():
    rows = digits().pretrained.rows
    gone = rows.owner != 0
    left = replace(rows, x=rows.x[gone], y=rows.y[gone], owner=rows.owner[gone])
    game = replace(digits(), pretrained=replace(digits().pretrained, rows=left))
    measuring = Measuring()
    calibration = found(measuring, game=game)
    assert not measuring.asked
    assert calibration.summary()["method"] == calibration.unlearner.method == "newton"
    assert not calibration.unlearner.exact(game.pretrained, game.staying(PLAN)).any()


def test_correction_is_taken_where_left_out_coalitions_are_predicted_better():
    """A residual that belongs to one provider is learnt; that of a single coalition is not."""
    outlier = keys(PLAN[found(Measuring(), coalitions=24).extra])[12]

    def of_a_member(coalitions):
        return truth(coalitions) - 1.0 * coalitions[:, 2] * (1 - coalitions.mean(axis=1))

    def of_one(coalitions):
        return truth(coalitions) + np.array([5.0 * (key == outlier) for key in keys(coalitions)])

    for wrong, improved in ((of_a_member, True), (of_one, False)):
        others = {k.name: lambda c: 50.0 - 99 * (c.sum(1) % 2) for k in CANDIDATES.values()}
        calibration = found(Measuring(instead={**others, "newton": wrong}), coalitions=24)
        assert calibration.unlearner.method == "newton"
        unlearned = wrong(PLAN)
        exact = calibration.unlearner.exact(digits().pretrained, digits().staying(PLAN)).numpy()
        utilities = np.where(exact, truth(PLAN), unlearned)
        kept = kept_rows(digits(), PLAN)
        learnt = (calibration.rows, calibration.retrained)
        correction = correct(PLAN, kept, calibration.before(utilities), learnt, exact, 0)
        assert calibration.is_improved_by(correction) is improved


def test_numbers_are_calibrated_too():
    game = diabetes_game(providers=7, steps=60)
    plan = make_plan("exact", 7, 126, 0).coalitions
    measuring = Measuring(game, "neg_mse")
    calibration = calibrate(game, AutoUnlearner(), plan, plan, CalibrationSettings(), measuring)
    assert calibration.unlearner.method in CANDIDATES
    assert calibration.summary()["candidates"][0]["method"] == "no_unlearning"


def test_a_method_that_is_set_is_kept_also_where_few_coalitions_are():
    game = digits_game(providers=3, steps=20)
    few = make_plan("exact", 3, 6, 0).coalitions
    auto = AutoUnlearner(method="newton", retrain_below=0.4)
    measuring = Measuring()
    calibration = calibrate(game, auto, few, few, CalibrationSettings(), measuring)
    assert calibration.unlearner == auto
    assert not measuring.asked
