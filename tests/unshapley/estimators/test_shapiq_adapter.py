import sys

import numpy as np
import pytest

from unshapley.errors import InputError
from unshapley.estimators import ESTIMATORS, make_plan
from unshapley.estimators.sampling import everything
from unshapley.estimators.semivalues import banzhaf, shapley

N = 6
WEIGHTS = np.array([1.0, 2, 3, 4, 5, 9])


def utility(coalitions):
    return np.log1p(np.atleast_2d(coalitions) @ WEIGHTS) + 0.3


def table_of(plan):
    ends = np.array([[False], [True]]).repeat(plan.n, axis=1)
    return utility(np.vstack([ends[:1], plan.coalitions, ends[1:]]))


def exact():
    plan = make_plan("exact", N, 2**N, 0)
    return ESTIMATORS["exact"].estimate(plan, table_of(plan), shapley(N)).value


def test_without_shapiq_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "shapiq", None)
    with pytest.raises(InputError, match=r"pip install 'unshapley\[shapiq\]'"):
        make_plan("shapiq:KernelSHAP", N, 20, 0)


class TestWithShapiq:
    @pytest.fixture(autouse=True)
    def _installed(self):
        pytest.importorskip("shapiq", reason="the extra unshapley[shapiq] is not installed")

    @pytest.mark.parametrize("name", ["KernelSHAP", "kADDSHAP", "SVARM", "UnbiasedKernelSHAP"])
    def test_values_are_exact_where_all_coalitions_are_measured(self, name):
        estimator = ESTIMATORS[f"shapiq:{name}"]
        plan = estimator.plan(N, 2**N - 2, 0)
        assert len(plan.coalitions) == 2**N - 2
        found = estimator.estimate(plan, table_of(plan), shapley(N))
        np.testing.assert_allclose(found.value, exact(), atol=1e-6)
        assert np.isnan(found.std_error).all()

    @pytest.mark.parametrize(
        "name",
        ["KernelSHAP", "PermutationSamplingSV", "StratifiedSamplingSV", "OwenSamplingSV", "SVARM"],
    )
    def test_the_replay_is_the_direct_run(self, name):
        from shapiq.approximator import SV_APPROXIMATORS

        plan = make_plan(f"shapiq:{name}", N, 30, seed=4)
        assert 0 < len(plan.coalitions) <= 30
        assert len(np.unique(plan.coalitions, axis=0)) == len(plan.coalitions)
        found = ESTIMATORS[plan.estimator].estimate(plan, table_of(plan), shapley(N)).value
        (kind,) = (one for one in SV_APPROXIMATORS if one.__name__ == name)
        direct = kind(n=N, random_state=4, pairing_trick=name == "KernelSHAP")
        values = direct.approximate(plan.budget, lambda x: utility(x) - utility(np.zeros(N)))
        np.testing.assert_allclose(found, [values[(i,)] for i in range(N)], atol=1e-9)

    def test_approximators_that_repeat_coalitions_get_more_of_shapiqs_budget(self):
        plan = make_plan("shapiq:StratifiedSamplingSV", N, 40, seed=0)
        assert plan.budget > 42
        assert len(plan.coalitions) <= 40

    def test_an_unknown_name_is_told_what_there_is(self):
        with pytest.raises(InputError, match=r"no approximator 'Kernel'(.|\n)*KernelSHAP"):
            make_plan("shapiq:Kernel", N, 20, 0)

    def test_other_semivalues_are_refused(self):
        plan = make_plan("shapiq:KernelSHAP", N, 20, 0)
        with pytest.raises(InputError, match="Shapley values only"):
            ESTIMATORS[plan.estimator].estimate(plan, table_of(plan), banzhaf(N))

    def test_one_that_asks_for_what_was_not_planned_is_refused(self):
        from dataclasses import replace

        plan = make_plan("shapiq:KernelSHAP", N, 20, 0)
        other = replace(plan, seed=1)
        with pytest.raises(InputError, match="shapiq asks for coalition [01]{6}"):
            ESTIMATORS[plan.estimator].estimate(other, table_of(plan), shapley(N))

    def test_stored_utilities_are_a_game_for_shapiq(self):
        from shapiq import ExactComputer

        from unshapley.estimators.shapiq_adapter import stored_game

        both = np.vstack([np.zeros((1, N), bool), everything(N), np.ones((1, N), bool)])
        game = stored_game(both, utility(both))
        assert game(np.zeros(N, dtype=bool)) == 0
        values = ExactComputer(game, n_players=N)("SV")
        np.testing.assert_allclose([values[(i,)] for i in range(N)], exact(), atol=1e-9)
