"""How far a process errs, told by left-out pairs: against their definition and drawn games."""

import numpy as np
import pytest

from benchmarks.synthetic import SYNTHETIC
from unshapley.estimators import estimate, make_plan
from unshapley.estimators.base import NORMAL
from unshapley.estimators.calibration import (
    PRIOR_FREEDOM,
    WIDER,
    calibration,
    interaction_contrasts,
    semivalue_contrasts,
)
from unshapley.estimators.functional import size_weights
from unshapley.estimators.sampling import everything, kernel_weights
from unshapley.estimators.semivalues import banzhaf, beta, shapley


def covariance_of(m, rng):
    points = rng.normal(size=(m, 3))
    distance = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    return np.exp(-distance / 2) + 0.1 * np.eye(m)


def calibrated(covariance, utilities, weights, fitted=0):
    solved = np.linalg.solve(covariance, utilities)
    return calibration(np.linalg.inv(covariance), solved, weights, fitted)


def test_left_out_errors_are_those_of_predictions_without_the_pair():
    rng = np.random.default_rng(0)
    covariance, utilities, weights = covariance_of(7, rng), rng.normal(size=7), rng.normal(size=7)
    squares, expected = [], []
    for first in (0, 2, 4):  # the seventh has no partner
        out = [first, first + 1]
        kept = [i for i in range(7) if i not in out]
        predict = covariance[np.ix_(out, kept)] @ np.linalg.inv(covariance[np.ix_(kept, kept)])
        left = covariance[np.ix_(out, out)] - predict @ covariance[np.ix_(kept, out)]
        squares.append((weights[out] @ (utilities[out] - predict @ utilities[kept])) ** 2)
        expected.append(weights[out] @ left @ weights[out])
    ratio = sum(squares) / sum(expected)
    deviation = np.array(squares) - ratio * np.array(expected)
    freedom = 2 * sum(squares) ** 2 / (1.5 * (deviation**2).sum())
    found = calibrated(covariance, utilities, weights[None])
    pooled = (freedom * ratio + PRIOR_FREEDOM) / (freedom + PRIOR_FREEDOM)
    assert found.freedom == pytest.approx(freedom + PRIOR_FREEDOM)
    assert found.ratio == pytest.approx(WIDER * np.sqrt(pooled))


@pytest.mark.parametrize("factor", [0.2, 1.0, 3.0])
def test_a_game_that_errs_so_many_times_as_much_is_noticed(factor):
    rng = np.random.default_rng(1)
    m = 300
    covariance = covariance_of(m, rng)
    utilities = factor * np.linalg.cholesky(covariance) @ rng.normal(size=m)
    found = calibrated(covariance, utilities, rng.normal(size=(5, m)))
    assert found.ratio / WIDER == pytest.approx(factor, rel=0.15)


def test_a_few_large_errors_leave_few_degrees_of_freedom():
    rng = np.random.default_rng(2)
    m = 200
    covariance, utilities, weights = np.eye(m), rng.normal(size=m), rng.normal(size=(4, m))
    even = calibrated(covariance, utilities, weights)
    utilities[:4] *= 20
    few = calibrated(covariance, utilities, weights)
    assert few.freedom < 10 < even.freedom < m
    assert few.quantile > even.quantile > NORMAL
    assert few.widened / few.ratio == pytest.approx(few.quantile / NORMAL)


def test_fitted_parameters_take_degrees_of_freedom():
    rng = np.random.default_rng(3)
    utilities, weights = rng.normal(size=40), rng.normal(size=(4, 40))
    none, ten = (calibrated(np.eye(40), utilities, weights, fitted) for fitted in (0, 10))
    assert ten.freedom - PRIOR_FREEDOM == pytest.approx((none.freedom - PRIOR_FREEDOM) * 30 / 40)
    assert ten.ratio / none.ratio == pytest.approx(np.sqrt(40 / 30), rel=0.02)
    all_of_them = calibrated(np.eye(40), utilities, weights, 40)
    assert all_of_them.freedom == 1 + PRIOR_FREEDOM
    assert np.isfinite(all_of_them.widened)


def test_pairs_without_weight_say_nothing_and_the_process_counts():
    found = calibrated(np.eye(6), np.ones(6), np.zeros((2, 6)))
    assert (found.ratio, found.freedom) == (WIDER, 3)


@pytest.mark.parametrize("kind", [shapley, banzhaf, lambda n: beta(n, 4, 1)])
def test_contrasts_are_weights_over_probabilities(kind):
    n, weights = 6, kind(6)
    coalitions = everything(n)
    size = coalitions.sum(axis=1)
    other, member = size_weights(weights)
    probability = kernel_weights(n)[size - 1] / np.bincount(size)[size]
    expected = np.where(coalitions.T, member[size], other[size]) / probability
    found = semivalue_contrasts(coalitions, weights)
    np.testing.assert_allclose(found * (expected[0, 0] / found[0, 0]), expected, atol=1e-9)


def test_contrasts_of_interactions_are_weights_over_probabilities():
    n, coalitions = 6, everything(6)
    size, both = coalitions.sum(axis=1), coalitions[:, 0].astype(int) + coalitions[:, 1]
    probability = kernel_weights(n)[size - 1] / np.bincount(size)[size]
    # each size of the other coalitions has the same weight, and so have all coalitions of a size
    joined = size - both
    number = np.array([1, 4, 6, 4, 1])[joined]
    expected = np.where(both == 1, -1, 1) / (number * (n - 1)) / probability
    found = interaction_contrasts(size, both[None], n)[0]
    np.testing.assert_allclose(found * (expected[0] / found[0]), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "n", "budget"),
    [
        ("redundant", 20, 200),
        pytest.param("airport", 100, 256, marks=pytest.mark.drill),
    ],
)
def test_intervals_hold_as_often_as_they_say(name, n, budget):
    """Where they were too wide (a game of second order) and too narrow (one of extremes)."""
    game, held = SYNTHETIC[name](n), []
    ends = np.array([[False], [True]]).repeat(n, axis=1)
    for seed in range(6):
        plan = make_plan("auto", n, budget, seed)
        table = game.utility(np.vstack([ends[:1], plan.coalitions, ends[1:]]))
        found = estimate(plan, table)
        held.append((found.ci_low <= game.values) & (game.values <= found.ci_high))
    assert 0.9 < np.mean(held) < 0.99
