"""Sentences that say what a table means, and no more than its intervals."""

import itertools

import pandas as pd
import pytest

from unshapley.results.conclusion import conclusion


def tables(values, half):
    """values.csv and differences.csv of independent values with one half-width for all."""
    table = pd.DataFrame(
        {"provider": list(values), "value": list(values.values()), "status": "valued"}
    ).assign(ci_low=lambda t: t["value"] - half, ci_high=lambda t: t["value"] + half)
    rows = [
        {"provider": a, "other": b, "difference": values[a] - values[b]}
        for a, b in itertools.combinations(values, 2)
    ]
    differences = pd.DataFrame(rows, columns=["provider", "other", "difference"])
    low, high = differences["difference"] - half, differences["difference"] + half
    differences = differences.assign(ci_low=low, ci_high=high)
    return table.to_dict("records"), differences.to_dict("records")


@pytest.mark.parametrize(
    ("values", "half", "sentences"),
    [
        (
            {"a": 0.1, "b": 0.5, "c": -0.4},
            0.05,
            (
                "b is worth most (0.5), more than every other provider beyond noise.",
                "c makes the model worse.",
                "Of 3 pairs of providers 3 can be told apart.",
            ),
        ),
        (
            {"a": 0.5, "b": 0.48, "c": 0.02, "d": 0.01},
            0.05,
            (
                "a is worth most (0.5); b may be worth as much.",
                "Of c and d it cannot be told whether they help at all.",
                "Of 6 pairs of providers 4 can be told apart.",
            ),
        ),
        (
            dict.fromkeys("abcdef", 0.5),
            0.05,
            (
                "a is worth most (0.5), but no other provider is worth less beyond noise.",
                "Of 15 pairs of providers 0 can be told apart.",
            ),
        ),
    ],
)
def test_intervals_decide(values, half, sentences):
    assert (
        conclusion(*tables(values, half), {"status": "trusted", "grade": "values"})[1:] == sentences
    )


@pytest.mark.parametrize(
    ("status", "grade", "begin"),
    [
        ("trusted", "values", "The values can be relied on"),
        ("trusted", "ranks", "The order can be relied on, the amounts less so"),
        ("trusted", "extremes", "Only the best and the worst"),
        ("unchecked", None, "Nothing was retrained to check"),
    ],
)
def test_what_the_check_says_comes_first(status, grade, begin):
    assert conclusion(*tables({"a": 1.0, "b": 0.0}, 0.1), {"status": status, "grade": grade})[
        0
    ].startswith(begin)


def test_values_that_are_refused_are_not_interpreted():
    for status, grade in (("untrusted", None), ("trusted", "none")):
        (only,) = conclusion(*tables({"a": 1.0, "b": 0.0}, 0.1), {"status": status, "grade": grade})
        assert only.startswith("Do not act on these values")


def test_a_model_that_is_worse_than_none_is_told_first():
    sentences = conclusion(
        *tables({"a": -0.2, "b": -0.4}, 0.1), {"status": "trusted", "grade": "values"}
    )
    assert sentences[1].startswith("All providers together make the model worse")
    assert "(-0.6)" in sentences[1]


def test_many_are_counted():
    values = dict.fromkeys("abcdefgh", 0.0)
    assert "Of a, b, c and 5 others it cannot be told" in " ".join(conclusion(*tables(values, 0.1), {"status": "trusted", "grade": "values"}))  # fmt: skip


def test_values_that_another_training_moves_are_not_called_reliable():
    def said(error):
        implied = {"rel_l2_other_seed": {"expected": error}}
        fidelity = {"status": "trusted", "grade": "values", "implied": implied}
        return conclusion(*tables({"a": 1.0, "b": 0.0}, 0.1), fidelity)[0]

    assert "another seed moves them by about 61 %" in said(0.61)
    assert said(0.1).startswith("The values can be relied on")


def test_where_nothing_was_checked_it_says_how_sure_the_order_is():
    def said(*probabilities):
        pairs = zip("aab", "bcc", probabilities, strict=True)
        order = [{"provider": a, "other": b, "probability": p} for a, b, p in pairs]
        fidelity = {"status": "unchecked", "grade": None, "order": order}
        return conclusion(*tables({"a": 1.0, "b": 0.0, "c": 0.0}, 0.1), fidelity)[1]

    assert "about 2.4 of these 3 pairs are in the right order; 90 % sure: a above b." in said(0.97, 0.8, 0.6)  # fmt: skip
    assert said(0.8, 0.7, 0.5).endswith("in the right order, and none is 90 % sure.")
