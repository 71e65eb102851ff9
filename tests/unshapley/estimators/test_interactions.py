"""Interactions of pairs, held against their definition and against duplicates."""

from math import comb

import numpy as np
import pytest

from tests.unshapley.games import to_masks
from unshapley.estimators import make_plan
from unshapley.estimators.interactions import interactions

N = 7


def table_of(plan, game):
    ends = np.zeros((1, N), dtype=bool)
    return game(np.vstack([ends, plan.coalitions, ~ends]))


def saturating(stays):
    """Provider 1 is a copy of provider 0: what both have counts once."""
    weights = np.array([3.0, 3.0, 1.0, 2.0, 1.0, 2.0, 1.0])
    have = stays @ weights - 3.0 * (stays[:, 0] & stays[:, 1])
    return np.log1p(have)


def test_exact_interactions_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    utilities = rng.normal(size=2**N)
    plan = make_plan("exact", N, 2**N, 0)
    masks = [0, *to_masks(plan.coalitions), 2**N - 1]
    found = interactions(plan, utilities[masks])
    wanted = 0.0
    for mask in range(2**N):
        if mask & 0b0101 == 0:
            weight = 1 / ((N - 1) * comb(N - 2, mask.bit_count()))
            u = utilities
            wanted += weight * (u[mask | 5] - u[mask | 1] - u[mask | 4] + u[mask])
    assert found.value[0, 2] == found.value[2, 0] == pytest.approx(wanted)
    assert not found.std_error.any()


def test_a_copy_stands_out_and_sampled_interactions_come_near_exact_ones():
    exact, few = make_plan("exact", N, 2**N, 0), make_plan("auto", N, 70, 0)
    truth = interactions(exact, table_of(exact, saturating))
    found = interactions(few, table_of(few, saturating))
    pairs = np.triu_indices(N, 1)
    assert found.value[0, 1] == found.value[pairs].min()
    error = np.abs(found.value - truth.value)[pairs]
    assert np.linalg.norm(error) < 0.15 * np.linalg.norm(truth.value[pairs])
    assert np.mean(error <= 1.96 * found.std_error[pairs]) > 0.8


def test_an_additive_game_has_none():
    plan = make_plan("auto", N, 60, 1)
    found = interactions(plan, table_of(plan, lambda stays: stays @ np.arange(1.0, N + 1)))
    np.testing.assert_allclose(found.value, 0, atol=0.02)
