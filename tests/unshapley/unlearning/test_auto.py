"""`auto` retrains the smallest coalitions, and forgets as its method does for the others."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.unshapley.games import digits_game, text_game
from unshapley.config import CalibrationSettings
from unshapley.errors import InputError, UnshapleyError
from unshapley.fidelity.calibration import calibrate
from unshapley.game.coalitions import everybody
from unshapley.game.measuring import measure, unlearn
from unshapley.game.utilities import build_utilities
from unshapley.unlearning import build_unlearner
from unshapley.unlearning.auto import CANDIDATES, LONGEST, AutoUnlearner, candidates, rows_kept
from unshapley.unlearning.retrain import RetrainUnlearner

STARTING_ANEW = ("shrink_finetune", "truncated_retrain")
GAME = digits_game(providers=7, steps=40)
PLAN = np.vstack([np.eye(7, dtype=bool), ~np.eye(7, dtype=bool), everybody(7)])


def weights(state):
    return torch.cat([tensor.flatten(1) for _, tensor in sorted(state.items())], dim=1)


def test_small_ones_are_retrained_and_others_are_not():
    auto = AutoUnlearner(retrain_below=0.5, method="newton")
    exact = auto.exact(GAME.pretrained, GAME.staying(PLAN))
    assert exact.tolist() == [True] * 7 + [False] * 8
    models = weights(unlearn(GAME, auto, PLAN))
    retrained = weights(unlearn(GAME, RetrainUnlearner(), PLAN[:7]))
    newton = weights(unlearn(GAME, auto.candidate(GAME.pretrained), PLAN[7:]))
    torch.testing.assert_close(models[:7], retrained)
    torch.testing.assert_close(models[7:], newton)


@pytest.mark.parametrize("method", [m for m in CANDIDATES if m not in STARTING_ANEW])
def test_forgetting_nobody_changes_nothing(method):
    """Continuity at the full coalition, for all candidates that begin at the pretrained weights."""
    auto = AutoUnlearner(retrain_below=0.5, method=method)
    pretrained = weights({n: t.unsqueeze(0) for n, t in GAME.pretrained.trained.items()})
    state = unlearn(GAME, auto, everybody(7))
    kept = {n: t.unsqueeze(0) for n, t in GAME.pretrained.trained.items() if n not in state}
    torch.testing.assert_close(weights({**kept, **state}), pretrained)


def test_equal_providers_do_not_make_equal_coalitions():
    """So a budget that pays for some of the coalitions of a size retrains some of them."""
    pairs = np.array([[i in (a, b) for i in range(7)] for a in range(7) for b in range(a)])
    kept = rows_kept(GAME.pretrained, GAME.staying(pairs))
    assert len(set(kept.tolist())) == len(pairs)
    share = GAME.pretrained.share(GAME.staying(pairs))
    row = 1 / float(GAME.pretrained.counts.sum())
    assert ((kept - share >= 0) & (kept - share < row)).all()


def test_candidates_take_no_more_steps_than_a_short_recipe_warrants():
    assert candidates(GAME.pretrained)["finetune"].steps == round(LONGEST * 40)
    assert CANDIDATES["finetune"].steps > round(LONGEST * 40)
    # 240 rows: 200 steps of 12 rows are ten passes over them, as cheap as ten full-batch steps
    batched = digits_game(steps=200, batch_size=12).pretrained
    assert candidates(batched)["finetune"].steps == 1
    assert candidates(digits_game(steps=200).pretrained)["finetune"].steps == round(LONGEST * 200)


def test_it_does_nothing_before_calibration():
    with pytest.raises(UnshapleyError, match="before calibration"):
        unlearn(GAME, AutoUnlearner(), PLAN)


def test_an_unknown_method_names_the_candidates():
    with pytest.raises(InputError, match="method = 'magic'.*the candidates are no_unlearning"):
        build_unlearner("auto", {"method": "magic"})


def test_where_rows_of_text_are_out_of_reach_it_is_the_proxy():
    game = text_game()
    rows = game.pretrained.rows
    near = rows.owner < 2
    reached = replace(rows, x=rows.x[near], y=rows.y[near], owner=rows.owner[near])
    partial = replace(game, players=("p0", "p1"), pretrained=replace(game.pretrained, rows=reached))
    plan = np.array([[True, False], [False, True]])
    found = calibrate(partial, AutoUnlearner(), plan, plan, CalibrationSettings(), None)
    assert found.method == "ngram"
    utilities = build_utilities(["log_likelihood"], "language-model")
    by_auto = measure(partial, found.unlearner, plan, utilities)
    assert by_auto == measure(partial, build_unlearner("ngram"), plan, utilities)


def test_retrained_and_predicted_coalitions_of_text_are_measured_in_one_chunk():
    game = text_game()
    auto = AutoUnlearner(method="ngram", retrain_below=0.3)
    plan = np.array([[True, False, False, False], [True, True, True, False]])
    utilities = build_utilities(["log_likelihood", "token_accuracy"], "language-model")
    measured = measure(game, auto, plan, utilities)
    apart = [
        measure(game, build_unlearner(name), plan[i : i + 1], utilities)
        for i, name in enumerate(("retrain", "ngram"))
    ]
    only_small = measure(game, auto, plan[:1], utilities)
    assert only_small["log_likelihood"] == pytest.approx(apart[0]["log_likelihood"], abs=1e-5)
    for column, values in measured.items():
        assert values == pytest.approx([found[column][0] for found in apart], abs=1e-5)
