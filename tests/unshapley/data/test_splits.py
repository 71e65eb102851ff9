"""Rows split by use: random, stable, equal ones together."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unshapley.data.splits import generator, split


def divided(frame, seed=0):
    parts = split(frame, "p", test=0.2, reference=0.1, seed=seed, features=["a"])
    return [parts.train, parts.test, parts.reference]


def test_distinct_rows_are_cut_at_random_as_ever():
    frame = pd.DataFrame({"a": np.arange(50.0), "label": 0})
    order = generator(0, "split", "p").permutation(50)
    train, test, reference = divided(frame)
    assert sorted(order[:10]) == test["a"].tolist()
    assert sorted(order[10:15]) == reference["a"].tolist()
    assert sorted(order[15:]) == train["a"].tolist()
    text = pd.concat([test, reference]).to_csv(index=False)
    assert hashlib.sha256(text.encode()).hexdigest()[:12] == "c8ea51aa51f2"


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(20, 120), st.integers(0, 99))
def test_equal_rows_stay_together_and_no_row_is_lost(kinds, count, seed):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"a": rng.integers(0, kinds, count), "label": rng.integers(0, 2, count)})
    parts = divided(frame.astype(float), seed)
    together = pd.concat(parts)
    columns = ["a", "label"]
    assert together.sort_values(columns).to_numpy().tolist() == (
        frame.sort_values(columns).to_numpy().tolist()
    )
    held = [set(part["a"]) for part in parts]
    assert not held[0] & held[1]
    assert not held[0] & held[2]
    assert not held[1] & held[2]
    largest = frame["a"].value_counts().max()
    for part, share in zip(parts[1:], (0.2, 0.1), strict=True):
        assert len(part) - round(share * count) < largest


def test_rows_that_are_nearly_all_equal_are_left_to_train_on():
    frame = pd.DataFrame({"a": [1.0] * 95 + [2.0, 3, 4, 5, 6], "label": 0})
    train, test, reference = divided(frame)
    assert (len(train), len(test) + len(reference)) == (95, 5)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_groups_bring_parts_as_close_to_their_share_as_they_can(share):
    frame = pd.DataFrame({"a": np.repeat(np.arange(40.0), 3), "label": 0})
    parts = split(frame, "p", test=share, reference=0.1, seed=0, features=["a"])
    assert abs(len(parts.test) - share * 120) <= 1.5
    assert abs(len(parts.reference) - 12) <= 1.5
