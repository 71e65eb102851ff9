"""Which coalitions the gate retrains, and what it concludes for the values."""

from dataclasses import replace

import numpy as np
import pytest

from unshapley import estimators
from unshapley.estimators import make_plan
from unshapley.fidelity.comparison import (
    Retrained,
    UnlearnedValues,
    affordable,
    compare,
    linear_map,
    unlearned_values,
)
from unshapley.fidelity.correction import correct
from unshapley.fidelity.implied import rank_correlation, relative_l2
from unshapley.fidelity.residuals import DRAWS
from unshapley.game.kept import Kept
from unshapley.unlearning import build_unlearner

N = 8
PLAN = make_plan("exact", N, 2**N, 0)
SHARES = np.concatenate([[0], PLAN.coalitions.mean(axis=1), [1]])
KEPT = Kept.apart(SHARES)
NONE = np.array([], dtype=float)


def values_of(utilities: np.ndarray, exact: np.ndarray | None = None) -> UnlearnedValues:
    """Values of all players from utilities of the plan's coalitions."""
    table = np.array([-3.0, *utilities, -0.2])
    found = estimators.estimate(PLAN, table)
    assert found.operator is not None
    exact = np.zeros(len(utilities), dtype=bool) if exact is None else exact
    rows = np.vstack([np.zeros(N, bool), PLAN.coalitions, np.ones(N, bool)])
    unlearned = np.concatenate([[False], ~exact, [False]])
    return UnlearnedValues(rows, KEPT, table, unlearned, found.value, found.operator)


def game(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Utilities by unlearning and by retraining: forgetting leaves a bit of everybody behind."""
    rng = np.random.default_rng(seed)
    worth, left = rng.uniform(0.3, 1.7, N), rng.uniform(0, 1, N)
    truth = -2.0 / (0.5 + PLAN.coalitions @ worth)
    missed = 0.3 * (1 - SHARES[1:-1]) * (~PLAN.coalitions @ left) / N
    noise = 0.02 * (1 - SHARES[1:-1]) * rng.standard_normal(len(truth))
    return truth + missed + noise, truth


def test_what_was_retrained_anyway_is_never_drawn():
    exact = PLAN.coalitions.sum(axis=1) <= 3
    values = values_of(game(0)[0], exact)
    order = values.drawn(seed=0)
    assert sorted(order) == np.flatnonzero(values.unlearned).tolist()
    assert (values.coalitions[order].sum(axis=1) > 3).all()
    assert (order != values.drawn(seed=1)).any()


def test_coalitions_are_drawn_by_their_weight_in_the_values():
    values = values_of(game(0)[0])
    weight = (values.operator**2).sum(axis=0) * values.unlearned
    first = np.array([values.drawn(seed)[0] for seed in range(4000)])
    size = values.coalitions.sum(axis=1)
    for s in range(1, N):
        share = weight[size == s].sum() / weight.sum()
        assert (size[first] == s).mean() == pytest.approx(share, abs=0.03)


def test_more_are_retrained_for_as_long_as_they_cost_less_than_half_of_measuring():
    order, work = np.arange(6)[::-1], np.array([1.0, 2, 3, 4, 5, 6])
    assert affordable(order, work, 0.0, 2).tolist() == [5, 4]
    assert affordable(order, work, 36.0, 2).tolist() == [5, 4, 3]  # 6 + 5 + 4 < 18
    assert affordable(order, work, 30.0, 2).tolist() == [5, 4]  # 15 is no less than half of 30
    assert affordable(order, work, 1e9, 2).tolist() == order.tolist()
    assert len(affordable(order, work, 0.0, 99)) == 6


@pytest.mark.parametrize("seed", range(3))
def test_the_stated_error_holds_the_true_one(seed):
    unlearned, truth = game(seed)
    values = values_of(unlearned)
    true = values.value + values.operator[:, 1:-1] @ (truth - unlearned)
    size = float(relative_l2((true - values.value)[None], true[None])[0])
    rank = float(rank_correlation(values.value, true[None])[0])
    rows = values.drawn(seed)[:8]
    table = np.array([0.0, *truth, 0.0])
    fidelity = compare(values, Retrained(rows, table[rows], NONE), seed)
    implied = fidelity.implied
    assert implied is not None
    assert implied.spearman is not None
    assert implied.rel_l2.low <= size <= implied.rel_l2.high
    assert implied.spearman.low <= rank <= implied.spearman.high
    assert implied.rel_l2_other_seed is None
    assert fidelity.status == "trusted"


def test_values_whose_error_is_that_of_another_seed_are_graded_so():
    """The best grade is for unlearning that errs less than a second retraining differs."""
    _, truth = game(0)
    rng = np.random.default_rng(0)
    near = truth + 0.001 * rng.standard_normal(len(truth))
    other = np.array([0.0, *(truth + 0.02 * rng.standard_normal(len(truth))), 0.0])
    table = np.array([0.0, *truth, 0.0])
    values = values_of(near)
    rows = values.drawn(0)[:8]
    grades = [
        compare(values, Retrained(rows, table[rows], second), 0).grade
        for second in (other[rows], table[rows], NONE)
    ]
    assert grades == ["values", "ranks", "ranks"]


def test_where_everything_is_known_nothing_is_left_to_chance():
    unlearned, truth = game(2)
    values = values_of(unlearned)
    rows, table = np.arange(1, len(truth) + 1), np.array([0.0, *truth, 0.0])
    errors = values.missed(Retrained(rows, table[rows], NONE), 0)
    exact = values.operator[:, 1:-1] @ (truth - unlearned)
    np.testing.assert_allclose(errors, np.tile(exact, (DRAWS, 1)), atol=1e-4)


def test_an_unlearner_without_error_leaves_none():
    unlearned, _ = game(1)
    values = values_of(unlearned)
    rows = values.drawn(0)[:8]
    assert not values.missed(Retrained(rows, values.utilities[rows], NONE), 0).any()


def test_errors_scale_with_the_utilities_and_do_not_hang_on_their_unit():
    unlearned, truth = game(1)
    table = np.array([-3.0, *truth, -0.2])
    draws = []
    for unit in (1.0, 1e-9):
        values = values_of(unlearned)
        values = replace(values, utilities=values.utilities * unit, value=values.value * unit)
        rows = values.drawn(0)[:8]
        draws.append(values.missed(Retrained(rows, unit * table[rows], NONE), 0) / unit)
    np.testing.assert_allclose(draws[0], draws[1], rtol=1e-6)


def test_a_residual_of_the_size_alone_moves_no_value():
    """A trend over the kept rows is shared by all players, so it cancels."""
    values = values_of(game(0)[0])
    rows = values.drawn(0)[:12]
    trend = (1 - SHARES[rows]) * (2 - SHARES[rows])
    shuffled = np.random.default_rng(0).permutation(trend)
    errors, noise = (
        values.missed(Retrained(rows, values.utilities[rows] + missed, NONE), 0)
        for missed in (trend, shuffled)
    )
    assert errors.shape == (DRAWS, N)
    assert np.linalg.norm(errors, axis=1).mean() < 0.05 * np.linalg.norm(noise, axis=1).mean()


def test_corrected_values_are_judged_by_what_the_correction_leaves():
    unlearned, truth = game(0)
    values, exact = values_of(unlearned), np.zeros(len(truth), dtype=bool)
    chosen = np.sort(values.drawn(0)[:24]) - 1
    found = correct(PLAN.coalitions, KEPT[1:-1], unlearned, (chosen, truth[chosen]), exact, 0)
    corrected = values_of(found.corrected)
    retrained = Retrained(chosen + 1, truth[chosen], NONE)
    before, after = compare(values, retrained, 0), compare(corrected, retrained, 0, found)
    assert after.implied.rel_l2.expected < before.implied.rel_l2.expected
    assert after.unlearned == tuple(found.left_out)


def test_an_estimator_that_is_not_linear_borrows_the_map_of_one_that_is():
    plan = make_plan("tree_msr", N, 60, 0)
    table = np.array([-3.0, *(-2.0 / (0.5 + plan.coalitions.sum(axis=1))), -0.2])
    values = estimators.estimate(plan, table)
    operator = linear_map(plan, table, values)
    assert values.operator is None
    assert operator.shape == (N, 62)
    np.testing.assert_allclose(operator @ table, np.full(N, 2.8 / N), atol=1e-3)


def test_in_a_partial_game_nobody_staying_was_unlearned_too(inputs):
    partial = replace(inputs, players=inputs.players[:2])
    plan = make_plan("exact", 2, 2, 0)
    table = np.array([-1.0, -0.6, -0.5, -0.2])
    found = estimators.estimate(plan, table)
    newton = build_unlearner("newton")
    exact = newton.exact(partial.pretrained, partial.staying(plan.coalitions))
    values = unlearned_values(partial, newton, exact.numpy(), plan, table, found)
    assert values.unlearned.tolist() == [True, True, True, False]
    assert values.kept.shares[0] > 0.5  # all others stay
