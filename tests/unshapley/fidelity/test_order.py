"""How sure the order of unchecked values is."""

import numpy as np
import pytest

from unshapley.fidelity.order import MISSED, order_of_pairs


def test_far_apart_is_surer_than_close_and_scale_does_not_matter():
    values = np.array([0.2, 1.0, 0.9])
    pairs = order_of_pairs("abc", values, "ngram")
    assert [(pair.provider, pair.other) for pair in pairs] == [("b", "a"), ("c", "a"), ("b", "c")]
    surest, _, closest = (pair.probability for pair in pairs)
    assert 0.5 < closest < surest <= 1
    assert order_of_pairs("abc", 1000 * values, "ngram") == pairs
    assert order_of_pairs("abc", values, "newton") is None
    assert order_of_pairs("abc", 0 * values, "ngram") is None


def test_it_is_right_as_often_as_it_says_where_errors_are_as_stated():
    rng = np.random.default_rng(0)
    true = np.array([1.0, 1.1, 1.3])
    right, stated = [], []
    for _ in range(2000):
        # the error of a difference is that of two values
        found = true + rng.normal(0, MISSED["ngram"] * true.mean() / np.sqrt(2), 3)
        for pair in order_of_pairs("012", found, "ngram"):
            right.append(true[int(pair.provider)] > true[int(pair.other)])
            stated.append(pair.probability)
    assert np.mean(right) == pytest.approx(np.mean(stated), abs=0.12)
