"""Correction on games whose residual is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unshapley.games import from_masks
from unshapley import estimators
from unshapley.errors import InputError
from unshapley.estimators import CORRECTION, make_plan
from unshapley.fidelity.correction import choose, correct, with_correction
from unshapley.game.kept import Kept

N = 7
PLAN = make_plan("exact", N, 2**N, 0)
SHARES = PLAN.coalitions.mean(axis=1)
KEPT = Kept.apart(SHARES)
NONE = np.zeros(len(SHARES), dtype=bool)


def game(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Utilities that unlearning would give, and the true ones: it remembers who it should not."""
    worth = np.random.default_rng(seed).uniform(0.5, 1.5, N)
    unlearned = -2.0 / (0.5 + PLAN.coalitions @ worth)
    weight = np.random.default_rng(seed + 1).uniform(0, 2, N)
    remembered = np.exp(-2 * SHARES) * (~PLAN.coalitions @ weight) / N
    return unlearned, unlearned - remembered


def values(utilities: np.ndarray) -> np.ndarray:
    return estimate(utilities.tolist()).value


def estimate(utilities):
    table = np.array([-4.0, *utilities, -0.2])
    return estimators.estimate(PLAN, table)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000))
def test_a_few_retrainings_take_most_of_the_error_away(seed):
    unlearned, truth = game(seed)
    chosen = choose(16, seed, NONE, PLAN.coalitions)
    found = correct(PLAN.coalitions, KEPT, unlearned, (chosen, truth[chosen]), NONE, seed)
    np.testing.assert_allclose(found.corrected[chosen], truth[chosen], atol=1e-9)
    error = np.linalg.norm(values(found.corrected) - values(truth))
    assert error < 0.5 * np.linalg.norm(values(unlearned) - values(truth))
    result = with_correction(found, estimate(found.corrected))
    assert result.value.sum() == pytest.approx(-0.2 + 4.0)
    assert (result.std_error == result.error_of(CORRECTION)).all()
    assert (result.ci_low < result.value).all()


def test_what_is_retrained_anyway_is_neither_chosen_nor_changed():
    unlearned, truth = game(1)
    exact = PLAN.coalitions.sum(axis=1) <= 2
    unlearned[exact] = truth[exact]
    chosen = choose(12, 0, exact, PLAN.coalitions)
    assert (PLAN.coalitions[chosen].sum(axis=1) > 2).all()
    found = correct(PLAN.coalitions, KEPT, unlearned, (chosen, truth[chosen]), exact, 0)
    np.testing.assert_array_equal(found.corrected[exact], truth[exact])


def test_chosen_ones_are_distinct_and_hold_all_that_keep_one():
    chosen = choose(20, 3, NONE, PLAN.coalitions)
    assert len(set(chosen)) == 20
    sizes = PLAN.coalitions[chosen].sum(axis=1)
    assert (sizes == 1).sum() == N
    assert set(sizes) == set(range(1, N))
    assert len(choose(50, 0, np.zeros(6, dtype=bool), from_masks(range(1, 7), 3))) == 6


def test_too_few_retrainings_are_refused():
    unlearned, truth = game(0)
    with pytest.raises(InputError, match="3 retrained coalitions are too few.*\n.*at least 4"):
        correct(
            PLAN.coalitions,
            KEPT,
            unlearned,
            (np.arange(3), truth[:3]),
            NONE,
            0,
        )


def test_what_copies_do_to_one_another_is_learnt_where_it_is_known_who_repeats_whom():
    unlearned, truth = game(2)
    repeated = np.where(PLAN.coalitions[:, 0] & PLAN.coalitions[:, 4], 1 / (7 * SHARES), 0.0)
    truth = truth - 2 * (1 - SHARES) * repeated
    errors = []
    for kept in (KEPT, Kept(SHARES, repeated)):
        chosen = choose(24, 0, NONE, PLAN.coalitions)
        found = correct(PLAN.coalitions, kept, unlearned, (chosen, truth[chosen]), NONE, 0)
        errors.append(np.linalg.norm(values(found.corrected) - values(truth)))
    assert errors[1] < 0.5 * errors[0]


def test_a_row_that_two_hold_by_chance_changes_nothing():
    unlearned, truth = game(3)
    repeated = np.where(PLAN.coalitions[:, 0] & PLAN.coalitions[:, 4], 1e-5, 0.0)
    chosen = choose(16, 0, NONE, PLAN.coalitions)
    apart, by_chance = (
        correct(PLAN.coalitions, kept, unlearned, (chosen, truth[chosen]), NONE, 0).corrected
        for kept in (KEPT, Kept(SHARES, repeated))
    )
    np.testing.assert_allclose(by_chance, apart, atol=1e-5)
