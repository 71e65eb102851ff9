"""Precision and recall of the lowest scores."""

import pytest

from unshapley.analysis.detection import average_precision, precision_recall, sentence, summarize
from unshapley.config import FaultSettings

SCORES = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}


def test_the_lowest_are_named():
    assert precision_recall(SCORES, ["a", "c"], 1) == (1.0, 0.5)
    assert precision_recall(SCORES, ["a", "c"], 2) == (0.5, 0.5)
    assert precision_recall(SCORES, ["a", "c"], 3) == (2 / 3, 1.0)
    assert average_precision(SCORES, ["a", "c"]) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(SCORES, ["a", "b"]) == 1.0


def test_pairs_are_scored_alike():
    pairs = {("a", "b"): -1.0, ("a", "c"): 0.5, ("b", "c"): 0.4}
    assert precision_recall(pairs, [("a", "b")], 1) == (1.0, 1.0)


@pytest.mark.parametrize(("faulty", "k"), [(["a"], 0), (["a"], 5), (["z"], 1), ([], 1)])
def test_what_makes_no_sense_is_refused(faulty, k):
    with pytest.raises(ValueError, match="k = |no score|nothing is faulty"):
        precision_recall(SCORES, faulty, k)


def test_a_summary_tells_who_was_not_valued_and_leaves_duplicates_out():
    faults = FaultSettings(
        wrong_labels={"a": 0.5}, noise={"d": 1.0, "z": 2.0}, duplicate={"b": "c"}
    )
    found = summarize(SCORES, faults)
    assert found["faulty"] == ["a", "d"]
    assert (found["recall"], found["average_precision"]) == (0.5, 0.75)
    assert sentence(found).startswith("planted faults: 1 of 2 among the 2 lowest values (a, d)")
    assert sentence(found).endswith("not valued: z")
    assert summarize(SCORES, FaultSettings(duplicate={"b": "c"})) is None
    assert (
        sentence(summarize(SCORES, FaultSettings(noise={"z": 1.0})))
        == "planted faults: not valued: z"
    )
