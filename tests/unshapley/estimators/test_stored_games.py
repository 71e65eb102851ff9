import numpy as np
import pytest

from benchmarks.stored import GAMES, UNLEARNERS, UTILITIES, load
from benchmarks.synthetic import SYNTHETIC
from unshapley.estimators import ESTIMATORS, make_plan
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


@pytest.mark.parametrize("name", SYNTHETIC)
@pytest.mark.parametrize("n", [20, 100])
def test_the_known_values_are_efficient(name, n):
    game = SYNTHETIC[name](n)
    ends = game.utility(np.array([[False], [True]]).repeat(n, axis=1))
    assert game.values.sum() == pytest.approx(ends[1] - ends[0])
