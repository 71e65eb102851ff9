import importlib

import numpy as np
import pytest

import benchmarks
from benchmarks.stored import GAMES, UNLEARNERS, UTILITIES, load
from benchmarks.synthetic import SYNTHETIC
from unshapley.estimators import ESTIMATORS, estimate, make_plan
from unshapley.estimators.posterior import posterior
from unshapley.estimators.semivalues import shapley


def exact(game, n):
    plan = make_plan("exact", n, 2**n, 0)
    ends = np.array([[False], [True]]).repeat(n, axis=1)
    table = game(np.vstack([ends[:1], plan.coalitions, ends[1:]]))
    return ESTIMATORS["exact"].estimate(plan, table, shapley(n)).value


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("unlearner", UNLEARNERS)
@pytest.mark.parametrize("utility", UTILITIES)
def test_a_stored_game_has_all_utilities(game, unlearner, utility):
    stored = load(game, unlearner, utility)
    assert np.isfinite(stored.utilities).all()
    gain = stored.utilities[-1] - stored.utilities[0]
    assert exact(stored, stored.n).sum() == pytest.approx(gain)


@pytest.mark.parametrize("name", SYNTHETIC)
def test_the_known_values_of_a_synthetic_game_are_the_exact_ones(name):
    game = SYNTHETIC[name](7)
    np.testing.assert_allclose(game.values, exact(game.utility, 7), atol=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_known_values_of_a_random_game_are_the_exact_ones(seed, monkeypatch):
    monkeypatch.syspath_prepend(benchmarks.__path__[0])  # its imports are a script's
    random_games = importlib.import_module("unseen")
    for name in random_games.UNSEEN:
        game = random_games.unseen(name, 7, seed)
        np.testing.assert_allclose(game.values, exact(game.utility, 7), atol=1e-9, err_msg=name)


@pytest.mark.parametrize("name", SYNTHETIC)
@pytest.mark.parametrize("n", [20, 100])
def test_the_known_values_are_efficient(name, n):
    game = SYNTHETIC[name](n)
    ends = game.utility(np.array([[False], [True]]).repeat(n, axis=1))
    assert game.values.sum() == pytest.approx(ends[1] - ends[0])


def estimates(name: str, n: int, budget: int, seeds: int):
    """Of `auto`, for every seed of the plan."""
    game = SYNTHETIC[name](n)
    ends = np.array([[False], [True]]).repeat(n, axis=1)
    for seed in range(seeds):
        plan = make_plan("auto", n, budget, seed)
        table = game.utility(np.vstack([ends[:1], plan.coalitions, ends[1:]]))
        yield estimate(plan, table), posterior(plan.coalitions, table[1:-1])


def test_a_step_in_the_size_is_noticed_and_widens_the_intervals():
    """In a weighted majority only coalitions near half of the weight say who matters."""
    truth, held = SYNTHETIC["majority"](20).values, []
    for found, fitted in estimates("majority", 20, 200, seeds=5):
        assert fitted.has_step
        held.append((found.ci_low <= truth) & (truth <= found.ci_high))
        # a covariance of values whose sum is known
        np.testing.assert_allclose(found.covariance.sum(axis=1), 0, atol=1e-6)
    assert np.mean(held) > 0.9


@pytest.mark.parametrize("name", ["learning", "airport", "unanimity", "redundant"])
def test_no_step_is_seen_where_there_is_none(name):
    truth = SYNTHETIC[name](20).values
    for found, fitted in estimates(name, 20, 200, seeds=2):
        assert not fitted.has_step
        assert np.linalg.norm(found.value - truth) < 0.2 * np.linalg.norm(truth)


@pytest.mark.parametrize(
    ("utility", "budget", "least"),
    [
        *((utility, 16, 0.85) for utility in UTILITIES),
        *(pytest.param(u, 128, 0.9, marks=pytest.mark.drill) for u in UTILITIES),
    ],
)
def test_intervals_of_a_real_game_hold_as_often_as_they_say(utility, budget, least):
    """With few coalitions, to which as many parameters are fitted; and with half of all, where
    they were too wide.
    """
    game = load("uneven8", "hybrid", utility)
    truth, held = exact(game, 8), []
    ends = np.array([[False], [True]]).repeat(8, axis=1)
    for seed in range(30):
        plan = make_plan("auto", 8, budget, seed)
        found = estimate(plan, game(np.vstack([ends[:1], plan.coalitions, ends[1:]])))
        held.append((found.ci_low <= truth) & (truth <= found.ci_high))
    assert least <= np.mean(held) <= 0.985
