"""Payouts: exact to the unit, never below the floor, never out of order."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unshapley.analysis.payout import amount, divide, pay
from unshapley.errors import InputError
from unshapley.results.published import PublishedValue

CENT = Decimal("0.01")


@st.composite
def cases(draw):
    values = draw(
        st.dictionaries(
            st.text("abcdef", min_size=1, max_size=3),
            st.floats(-10, 10, allow_nan=False) | st.sampled_from([0.0, 1.0, 1.0, 1e-300]),
            min_size=1,
            max_size=12,
        ).filter(lambda found: any(v > 0 for v in found.values()))
    )
    unit = Decimal(draw(st.sampled_from(["0.01", "1", "0.25", "5", "1e2"])))
    units = draw(st.integers(len(values), 10**9))
    floor = draw(st.integers(0, units // len(values)))
    return values, units * unit, floor * unit, unit


@given(cases())
def test_what_is_promised_holds(case):
    values, budget, floor, unit = case
    paid = divide(values, budget, floor, unit)
    assert list(paid) == list(values)
    assert sum(map(Fraction, paid.values())) == Fraction(budget)
    assert all(p >= floor and Fraction(p) % Fraction(unit) == 0 for p in paid.values())
    assert all(paid[p] == floor for p, v in values.items() if v <= 0)
    for p, v in values.items():
        for q, w in values.items():
            assert paid[p] >= paid[q] or v <= w
            assert v != w or abs(paid[p] - paid[q]) <= unit


def test_ties_go_to_the_name_that_sorts_first():
    paid = divide({"c": 1.0, "a": 1.0, "b": 1.0}, Decimal(100), Decimal(0), Decimal(1))
    assert paid == {"c": 33, "a": 34, "b": 33}


def test_the_others_share_what_a_floor_leaves():
    paid = divide({"a": 6.0, "b": 3.0, "c": 1.0, "d": -5.0}, Decimal(100), Decimal(20), Decimal(1))
    assert paid == {"a": 40, "b": 20, "c": 20, "d": 20}


def test_shares_and_notes():
    entries = [
        PublishedValue("a", "valued", 3.0, 2.0, 5.0),
        PublishedValue("b", "valued", 1.0, -1.0, 3.0),
        PublishedValue("c", "valued", -1.0, -2.0, 0.0),
        PublishedValue("d", "quarantined"),
    ]
    a, b, c, d = pay(entries, Decimal(10), Decimal(0), CENT)
    assert (a.share, a.share_low, a.share_high) == (0.75, 0.5, 1.0)
    assert (b.share_low, b.share_high) == (0.0, 0.75)
    assert (c.share, c.payout, c.note) == (0.0, 0, "negative value: nothing")
    assert (d.share, d.payout, d.note) == (None, 0, "quarantined: nothing")
    assert str(a.payout) == "7.50"


@pytest.mark.parametrize(
    ("values", "amounts", "message"),
    [
        ({"a": 1.0}, ("100.005", "0", "0.01"), "--budget: 100.005 is no multiple"),
        ({"a": 1.0}, ("100", "0.5", "1"), "--floor: 0.5 is no multiple"),
        ({"a": 1.0, "b": 1.0}, ("100", "51", "1"), "2 providers with 51 each need 102"),
        ({"a": 0.0, "b": -1.0}, ("100", "0", "1"), "no provider has a positive value"),
        ({}, ("100", "0", "1"), "no provider has a positive value"),
        ({"a": float("nan")}, ("100", "0", "1"), "value of provider 'a' is nan"),
        ({"a": 1.0}, ("0", "0", "1"), "nothing to pay"),
        ({"a": 1.0}, ("1", "0", "0"), "no unit"),
        ({"a": 1.0}, ("1", "-1", "1"), "below nothing"),
    ],
)
def test_what_cannot_be_paid_is_refused(values, amounts, message):
    with pytest.raises(InputError, match=message):
        divide(values, *map(Decimal, amounts))


@pytest.mark.parametrize("text", ["NaN", "inf", "ten", "1e999999999", "1e-13", "1234567890123456"])
def test_no_amount(text):
    with pytest.raises(InputError, match="--budget"):
        amount(text, "--budget")
