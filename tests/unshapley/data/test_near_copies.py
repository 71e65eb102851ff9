"""Near-copies and language drift: what is alike is found, what is not is not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unshapley.data.language_drift import FAR, distances, token_counts
from unshapley.data.near_copies import NearCopies, passage, shingles, similarity

WORDS = [f"w{i}" for i in range(300)]


def text_of(seed: int, words: int = 80) -> list[str]:
    return list(np.random.default_rng(seed).choice(WORDS, words))


def index(threshold=0.8, **texts):
    sets = {name: [shingles(t) for t in part] for name, part in texts.items()}
    prints = {n: np.array([hash(t) & (2**63 - 1) for t in p], np.uint64) for n, p in texts.items()}
    return NearCopies(sets, prints, threshold)


def changed(seed: int, words: int) -> str:
    """A text in which the first words are others."""
    return " ".join([f"x{i}" for i in range(words)] + text_of(seed)[words:])


def test_similarity_is_the_share_of_shingles():
    one, other = shingles("a b c d e f g"), shingles("A, b; c\nd e f X")
    assert similarity(one, other) == pytest.approx(2 / 4)
    assert similarity(one, one) == 1
    assert len(shingles("")) == len(shingles("one")) == len(shingles("?!")) == 1
    assert len(shingles("日本語の文章")) == 2  # a character is a word there


def test_pairs_above_the_threshold_are_found_and_others_are_not():
    originals = [" ".join(text_of(i)) for i in range(40)]
    copies = [changed(i, 4) for i in range(20)] + [changed(i, 40) for i in range(20, 40)]
    found = index(p=originals, q=copies).of("q")["near_in_partitions"]
    assert [(copy.row, copy.other, copy.other_row) for copy in found] == [
        (i, "p", i) for i in range(20)
    ]
    assert all(0.8 <= copy.similarity < 1 for copy in found)


def test_the_later_partition_is_the_copy_and_sets_come_first():
    text, near = " ".join(text_of(1)), changed(1, 2)
    near_copies = index(p=[text], q=[near], test=[changed(1, 1)], reference=[changed(1, 3)])
    assert [len(v) for v in near_copies.of("p").values()] == [0, 0, 1, 1]
    assert [len(v) for v in near_copies.of("q").values()] == [0, 1, 1, 1]
    assert {k: len(v) for k, v in near_copies.of("test").items()} == {
        "near_repeated": 0, "near_in_reference": 1}  # fmt: skip
    assert near_copies.of("reference") == {"near_repeated": []}


def test_equal_documents_are_no_near_copies():
    text = " ".join(text_of(1))
    assert not any(index(p=[text, text], q=[text]).of("q").values())
    assert not any(index(p=[text, text], q=[text]).of("p").values())


def test_many_alike_cost_no_square():
    alike = [" ".join([*text_of(1, 400), f"end{i}"]) for i in range(600)]
    found = index(p=alike[:300], q=alike[300:])
    assert len(found.of("p")["near_repeated"]) == 300
    assert len(found.of("q")["near_repeated"]) == 300


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_a_passage_stands_in_both(one, other):
    words = passage(one, other).lower()
    assert words in one.lower()
    if words:
        assert passage(other, one)


def test_a_passage_is_the_longest_and_is_cut():
    assert passage("No: One two, three!", "x one TWO three y no") == "One two, three"
    text = " ".join(text_of(1, 200))
    assert passage(text, text) == text[:240] + " …"


def counts(seed, tokens, low=0, high=100):
    drawn = np.random.default_rng(seed).integers(low, high, tokens)
    return token_counts([drawn.astype(np.int32)], 100)


def test_another_language_is_far_and_few_words_are_not():
    samples = {"a": counts(1, 5000), "b": counts(2, 5000), "few": counts(3, 60)}
    near = distances(samples)
    assert all(distance < FAR for distance in near.values())
    assert near["a"] < 0.1
    far = distances({**samples, "other": counts(4, 5000, 80, 100)})
    assert far["other"] > FAR
    assert distances({"a": counts(1, 50), "b": counts(1, 0)}) == {"a": 0.0, "b": 0.0}


def test_no_token_in_common_is_one():
    apart = distances({"a": counts(1, 20000, 0, 10), "b": counts(2, 20000, 50, 60)})
    assert apart["a"] == pytest.approx(1, abs=0.01)
