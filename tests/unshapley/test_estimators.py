from itertools import permutations as orders

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unshapley.coalitions import from_bits, from_masks, to_bits, to_masks
from unshapley.errors import InputError
from unshapley.estimators import ESTIMATORS, Estimate, make_plan
from unshapley.estimators.permutations import prefix_masks

Game = dict[int, float]
SAMPLED = [("exact", 2**5), ("permutations", 16), ("permutations", 29)]
numbers = st.floats(-10, 10, width=32)
games = st.lists(numbers, min_size=32, max_size=32).map(lambda us: dict(enumerate(us)))


def values(game: Game, n: int, name: str = "exact", budget: int | None = None) -> Estimate:
    plan = ESTIMATORS[name].plan(n, budget or 2**n, seed=3)
    return ESTIMATORS[name].estimate(plan, game, n)


def definition(game: Game, n: int) -> np.ndarray:
    """Mean marginal contribution over all n! orders."""
    total, count = np.zeros(n), 0
    for order in orders(range(n)):
        path = [0, *prefix_masks(np.array(order)), 2**n - 1]
        total[list(order)] += np.diff([game[m] for m in path])
        count += 1
    return total / count


@given(games)
@settings(max_examples=25, deadline=None)
def test_exact_values_are_those_of_the_definition(game):
    np.testing.assert_allclose(values(game, 5).value, definition(game, 5), atol=1e-9)


@given(games)
@settings(max_examples=50, deadline=None)
@pytest.mark.parametrize(("name", "budget"), SAMPLED)
def test_efficiency(name, budget, game):
    assert values(game, 5, name, budget).value.sum() == pytest.approx(game[31] - game[0], abs=1e-8)


@given(games)
@settings(max_examples=50, deadline=None)
def test_a_dummy_is_worth_nothing_and_twins_are_worth_the_same(game):
    dummy = {m: game[m & 0b01111] for m in game}
    assert values(dummy, 5).value[4] == pytest.approx(0, abs=1e-9)
    twins = {m: game[(m & 0b11100) | (bin(m & 0b00011).count("1"))] for m in game}
    found = values(twins, 5).value
    assert found[0] == pytest.approx(found[1], abs=1e-9)


@given(games, games)
@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize(("name", "budget"), SAMPLED)
def test_additivity(name, budget, one, other):
    both = {m: one[m] + other[m] for m in one}
    summed = values(one, 5, name, budget).value + values(other, 5, name, budget).value
    np.testing.assert_allclose(values(both, 5, name, budget).value, summed, atol=1e-8)


def test_a_game_of_sizes_only_is_estimated_without_error():
    """What the control variate is for: such games have equal values, whatever was sampled."""
    game = {m: float(bin(m).count("1") ** 3) for m in range(2**8)}
    estimate = values(game, 8, "permutations", 40)
    np.testing.assert_allclose(estimate.value, 8**3 / 8)
    np.testing.assert_allclose(estimate.std_error, 0, atol=1e-9)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=8)
    game = {m: float(np.tanh(weights @ from_masks([m], 8)[0])) for m in range(2**8)}
    truth, hits = values(game, 8).value, []
    estimator = ESTIMATORS["permutations"]
    for seed in range(200):
        e = estimator.estimate(estimator.plan(8, 120, seed), game, 8)
        hits.append((e.ci_low <= truth) & (truth <= e.ci_high))
    assert 0.90 <= np.mean(hits) <= 0.99


def test_few_pairs_do_not_pull_the_values_together():
    """A control variate fitted on a pair's own gains would shrink every deviation by 1/pairs."""
    rng = np.random.default_rng(1)
    game = {
        m: float(np.tanh(rng.normal() / 4 + from_masks([m], 6)[0] @ [1, 2, 3, 4, 5, 6] / 9))
        for m in range(64)
    }
    truth = values(game, 6).value
    estimator = ESTIMATORS["permutations"]
    found = [estimator.estimate(estimator.plan(6, 24, seed), game, 6).value for seed in range(400)]
    slope = np.polyfit(truth, np.mean(found, axis=0), 1)[0]
    assert slope == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("n", [4, 14, 70])
def test_a_plan_is_fixed_by_its_seed_distinct_and_within_budget(n):
    budget = min(300, 2**n - 3)
    plan = make_plan("permutations", n, budget, seed=1)
    masks = to_masks(plan.coalitions)
    assert len(set(masks)) == len(masks) <= budget
    assert not {0, 2**n - 1} & set(masks)
    assert to_masks(make_plan("permutations", n, budget, seed=1).coalitions) == masks
    assert n == 4 or to_masks(make_plan("permutations", n, budget, seed=2).coalitions) != masks


def test_auto_is_exact_where_the_budget_covers_all():
    assert make_plan("auto", 5, 30, 0).estimator == "exact"
    assert make_plan("permutations", 5, 30, 0).estimator == "exact"
    assert make_plan("auto", 5, 29, 0).estimator == "permutations"
    assert make_plan("auto", 2, 2, 0).estimator == "exact"


@pytest.mark.parametrize(
    ("name", "budget", "message"),
    [("exact", 100, "need all 1022 coalitions"), ("permutations", 30, "expected: at least 36")],
)
def test_a_budget_that_is_too_small_says_how_much_is_needed(name, budget, message):
    with pytest.raises(InputError, match=message):
        make_plan(name, 10, budget, 0)


def test_coalitions_round_trip():
    masks = [0b0001, 0b1010, 0b1111]
    coalitions = from_masks(masks, 4)
    assert to_bits(coalitions) == ["1000", "0101", "1111"]
    assert to_masks(from_bits(to_bits(coalitions))) == masks
