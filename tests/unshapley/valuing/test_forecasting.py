"""What a pilot says of a valuation, against the valuation."""

import numpy as np
import pytest

from tests.unshapley.api.test_value import rows
from unshapley.api.games import train_game
from unshapley.api.settings import settings_of
from unshapley.api.tables import read_tables
from unshapley.errors import InputError
from unshapley.results.tables import differences_table
from unshapley.unlearning import build_unlearner
from unshapley.valuing.assembling import value_game
from unshapley.valuing.forecasting import budgets_around, forecast
from unshapley.valuing.in_process import InProcess
from unshapley.valuing.piloting import run_pilot

PROVIDERS = [f"p{number}" for number in range(9)]
BUDGET = 120


@pytest.fixture(scope="module")
def loaded():
    stated = {
        "pretrain": {"steps": 30, "kwargs": {"hidden": [6]}},
        "valuation": {"unlearner": "newton", "budget": BUDGET},
    }
    given = {"test": True, "reference": True}
    params = settings_of(stated, None, None, "ill", "classification", given)
    data = {name: rows(seed, 30, noise=0.4 * seed) for seed, name in enumerate(PROVIDERS)}
    tables = read_tables(data, rows(20, 150), rows(21), params.prepare, scale_label=True)
    unlearner = build_unlearner("newton")
    return train_game(tables, params, tuple(PROVIDERS), unlearner.needs), unlearner, params


@pytest.fixture(scope="module")
def pilot(loaded):
    return run_pilot(*loaded)


def test_widths_are_those_of_the_valuation_within_a_factor_of_two(loaded, pilot):
    game, unlearner, params = loaded
    expected = forecast(pilot, BUDGET)
    valuation = value_game(InProcess(params), game, unlearner, {})
    assert expected.coalitions == len(valuation.plan.coalitions) == BUDGET
    ratio = np.median(expected.half_widths) / np.median(valuation.estimate.half_width)
    assert 0.5 < ratio < 2
    pairs = differences_table(valuation)
    apart = ((pairs["ci_low"] > 0) | (pairs["ci_high"] < 0)).mean()
    assert abs(expected.told_apart - apart) < 0.35


def test_a_larger_budget_takes_longer_and_leaves_no_error_of_sampling_in_the_end(pilot):
    few, all_of_them = (forecast(pilot, budget) for budget in (60, 2**9 - 2))
    assert few.sampling > 0 == all_of_them.sampling
    # by counted work; other steps are timed
    assert few.seconds["measure"] < all_of_them.seconds["measure"]
    assert few.test == all_of_them.test > 0


def test_budgets_are_a_quarter_and_four_times_and_never_more_than_there_are():
    assert budgets_around(1000, 20) == [250, 1000, 4000]
    assert budgets_around(1000, 9) == [250, 510]
    assert budgets_around(1000, 3) == [6]


def test_a_budget_that_the_estimator_refuses_is_an_error(loaded, pilot):
    with pytest.raises(InputError, match="budget"):
        forecast(pilot, 2)
