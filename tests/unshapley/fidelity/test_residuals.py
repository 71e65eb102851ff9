"""The residuals of all coalitions, given a few, agree with the errors of the values they imply."""

import numpy as np
import pytest

from unshapley.estimators import estimate, make_plan
from unshapley.fidelity.residuals import ResidualProcess, operator_by_size
from unshapley.game.kept import Kept

PLAN = make_plan("exact", 6, 62, 0).coalitions
SHARES = PLAN.mean(axis=1)
KEPT = Kept.apart(SHARES)
RNG = np.random.default_rng(0)
ROWS = np.sort(RNG.choice(62, 20, replace=False))
TRUE = (1 - SHARES) * (PLAN @ np.array([0.0, 2.0, 0.0, -1.0, 0.0, 0.0])) + 0.01 * RNG.normal(
    size=62
)


@pytest.fixture(scope="module")
def process():
    return ResidualProcess(PLAN, KEPT, np.zeros(62), operator_by_size(PLAN))


def test_by_size_is_the_map_of_the_values_where_all_coalitions_are_known():
    plan = make_plan("exact", 6, 62, 0)
    game = RNG.normal(size=62)
    exact = estimate(plan, np.array([0.0, *game, 0.0])).value
    np.testing.assert_allclose(operator_by_size(PLAN) @ game, exact, atol=1e-12)


def test_what_is_known_is_kept_and_the_rest_is_learnt(process):
    found = process.posterior(ROWS, TRUE[ROWS], draws=400, seed=0)
    np.testing.assert_allclose(found.mean[ROWS], TRUE[ROWS], atol=1e-5)
    np.testing.assert_allclose(found.draws[:, ROWS], np.tile(TRUE[ROWS], (400, 1)), atol=1e-5)
    others = np.setdiff1d(np.arange(62), ROWS)
    missed = found.mean[others] - TRUE[others]
    assert np.sqrt(np.mean(missed**2)) < 0.2 * np.std(TRUE[others])
    assert np.abs(missed).mean() < 3 * found.draws[:, others].std(axis=0).mean()


def test_a_left_out_residual_is_predicted_as_if_it_had_not_been_there(process):
    found = process.posterior(ROWS, TRUE[ROWS], draws=2, seed=0)
    without = process.posterior(ROWS[1:], TRUE[ROWS[1:]], draws=2, seed=0)
    missed = TRUE[ROWS[0]] - without.mean[ROWS[0]]
    # hyperparameters are averaged over with and without it
    assert found.left_out[0] == pytest.approx(missed, abs=0.05 * np.std(TRUE))


def test_errors_of_the_values_are_those_of_the_residuals(process):
    found = process.posterior(ROWS, TRUE[ROWS], draws=4000, seed=0)
    errors = process.value_errors(ROWS, TRUE[ROWS], seed=0)
    of_draws = found.draws @ process.operator.T
    np.testing.assert_allclose(of_draws.mean(axis=0), errors.mean(axis=0), atol=0.05)
    assert errors.std(axis=0).mean() >= 0.9 * of_draws.std(axis=0).mean()


def test_no_residual_is_no_error(process):
    found = process.posterior(ROWS, np.zeros(20), draws=3, seed=0)
    assert not found.mean.any()
    assert found.draws.shape == (3, 62)
    assert not found.draws.any()
