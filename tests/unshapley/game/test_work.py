"""Counted work of coalitions."""

import numpy as np
import pytest
import torch

from tests.unshapley.games import digits_game
from unshapley.game.coalitions import everybody, nobody
from unshapley.game.work import TRAINING, coalitions_worth, flop_of_coalitions, forward_flop
from unshapley.unlearning import build_unlearner


@pytest.fixture(scope="module")
def forward(inputs) -> float:
    sizes = [t.numel() for t in inputs.pretrained.trained.values() if t.dim() == 2]
    assert forward_flop(inputs) == 2 * sum(sizes)
    return 2.0 * sum(sizes)


def work(inputs, name: str, coalitions, **options) -> np.ndarray:
    return flop_of_coalitions(inputs, build_unlearner(name, options), coalitions)


def test_training_is_counted_by_rows_and_steps(inputs, forward):
    n, rows = len(inputs.players), int(inputs.pretrained.counts.sum())
    both = np.vstack([nobody(n), everybody(n)])
    test = forward * len(inputs.test_y)
    steps = inputs.pretrained.recipe.steps
    full = TRAINING * forward * rows
    for name, options, expected in (
        ("retrain", {}, [0, steps * full]),
        ("truncated_retrain", {"steps": 7}, [0, 7 * full]),
        ("gradient_ascent", {"steps": 7}, [7 * full, 0]),
        ("neggrad_plus", {"steps": 7}, [7 * full, 7 * full]),
        ("scrub", {"steps": 7, "max_steps": 3}, [10 * full, 10 * full]),
        ("no_unlearning", {}, [0, 0]),
    ):
        found = work(inputs, name, both, **options)
        np.testing.assert_allclose(found, np.array(expected) + test, err_msg=name)


def test_mini_batches_are_counted_by_the_rows_they_take():
    full, mini = (digits_game(steps=7, batch_size=size) for size in (None, 100))
    rows = int(mini.pretrained.counts.sum())
    assert rows == 240  # slices of 100, 100 and 40 rows
    all_stay = np.vstack([everybody(3)])
    test = forward_flop(mini) * len(mini.test_y)
    of_a_pass = work(full, "retrain", all_stay) - test
    assert work(mini, "retrain", all_stay) - test == pytest.approx(of_a_pass / 7 * (2 + 100 / 240))
    # unlearners take full batches, and as many as they are told
    assert work(mini, "finetune", all_stay) == work(full, "finetune", all_stay)
    assert work(mini, "finetune", all_stay, steps=1) - test == pytest.approx(of_a_pass / 7)


def test_looking_at_the_reference_set_is_counted():
    rules = ({}, {"patience": 3}, {"patience": 3, "batch_size": 100})
    games = [digits_game(steps=7, **rule) for rule in rules]
    both = np.vstack([nobody(3), everybody(3)])
    forward = forward_flop(games[0])
    base, looked, batched = (work(game, "retrain", both) for game in games)
    np.testing.assert_allclose(looked - base, 7 * 80 * forward)  # each step is a pass
    test = forward * 80
    np.testing.assert_allclose(batched[0] - test, 3 * 80 * forward)  # after 3, 6 and 7 steps


def test_hybrid_costs_what_its_parts_cost(inputs):
    coalitions = np.array([[1, 0, 0, 0, 0], [1, 1, 1, 1, 0]], dtype=bool)
    options = {"retrain_up_to": 0, "retrain_below": 0.3, "steps": 8}
    found = work(inputs, "hybrid", coalitions, **options)
    assert found[0] == work(inputs, "retrain", coalitions)[0]
    assert found[1] == work(inputs, "newton_finetune", coalitions, steps=8)[1]
    assert found[1] > work(inputs, "newton", coalitions)[1] > 0
    assert torch.tensor(found).dtype == torch.float64


def test_cheaper_coalitions_make_larger_chunks(inputs):
    n = len(inputs.players)
    typical = ~np.eye(n, dtype=bool)
    by_name = {
        name: coalitions_worth(inputs, build_unlearner(name), typical, 1.0)
        for name in ("newton", "finetune", "retrain")
    }
    assert by_name["newton"] > by_name["finetune"] > by_name["retrain"] >= 1
    each = work(inputs, "retrain", typical).mean()
    assert by_name["retrain"] == max(1, round(1e9 / each))
    assert coalitions_worth(inputs, build_unlearner("retrain"), typical, 1e-9) == 1
