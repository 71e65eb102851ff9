"""The removal curve that the measured coalitions give."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.unshapley.results.made import valuation_of
from unshapley.estimators import ESTIMATORS
from unshapley.estimators.completion import completed
from unshapley.game.coalitions import from_bits, positions
from unshapley.game.removals import LEAST, MOST
from unshapley.results.removal import RANDOM_MEAN, removal_table

GAME = Path(__file__).parents[2] / "games" / "forms12-retrain.parquet"


def test_the_curve_of_an_additive_game_loses_the_values_in_their_order():
    table = removal_table(valuation_of({"a": 0.3, "b": -0.1, "c": 0.2}))
    lines = table.groupby("order")["utility"].apply(list)
    assert lines[MOST] == pytest.approx([0.4, 0.1, -0.1, 0])
    assert lines[LEAST] == pytest.approx([0.4, 0.5, 0.3, 0])
    assert lines[RANDOM_MEAN][0] == pytest.approx(0.4)
    assert list(table["provider"][:4]) == ["", "a", "c", "b"]
    assert (table["measured"] == 1).all()  # three providers have six coalitions in between


def test_what_was_not_measured_is_predicted_and_said_to_be():
    game = pd.read_parquet(GAME)
    every, truth = from_bits(list(game["coalition"])), game["neg_log_loss"].to_numpy()
    plan = ESTIMATORS["gaussian_process"].plan(12, 150, 0)
    at = positions(plan.coalitions, every)
    utilities, measured = completed(plan, np.array([truth[0], *truth[at], truth[1]]), every)
    assert measured.sum() == 152
    assert (utilities == truth)[measured].all()
    error = np.sqrt(np.mean((utilities - truth)[~measured] ** 2))
    assert error < 0.02 * (truth[1] - truth[0])
