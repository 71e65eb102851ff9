"""How large a sample is, and how surely it holds what was forged."""

import numpy as np
import pytest

from unshapley.audit.effort import LEAST, SHARE, Effort
from unshapley.audit.sampling import by_chance, chance, surely_found


def test_the_chance_is_that_of_drawing_without_putting_back():
    drawn = np.random.default_rng(0).random((20_000, 100)).argsort(axis=1)[:, :10]
    seen = float((drawn < 7).any(axis=1).mean())
    assert chance(100, 7, 10) == pytest.approx(seen, abs=0.01)
    assert chance(100, 91, 10) == 1.0


def test_what_is_surely_found_is_the_fewest():
    fewest = surely_found(1000, 60)
    assert chance(1000, fewest, 60) >= 0.95 > chance(1000, fewest - 1, 60)
    assert surely_found(30, 30) == 1


def test_a_sample_takes_what_a_part_of_the_run_pays_for_and_never_too_few():
    work = Effort(run=1000.0, fixed=50.0, each=1.0)
    count = work.affordable(990)
    assert work.share(count) <= SHARE < work.share(count + 1)
    assert work.affordable(100) == 100
    assert Effort(run=1000.0, fixed=900.0, each=1.0).affordable(990) == LEAST


def test_what_is_drawn_by_chance_comes_first_as_often_as_its_weight_says():
    rng, weights = np.random.default_rng(0), np.array([0.0, 1.0, 3.0])
    first = [by_chance(weights, rng)[0] for _ in range(4000)]
    assert np.bincount(first, minlength=3) / 4000 == pytest.approx([0, 0.25, 0.75], abs=0.03)
    assert sorted(by_chance(weights, rng)) == [0, 1, 2]
