"""Rounds and rules: what ends a run, and that time does not change what a round measures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unshapley.config import StopSettings
from unshapley.errors import InputError
from unshapley.estimators import SAMPLING, Estimate
from unshapley.estimators.stopping import (
    affordable,
    check_rules,
    cost_reason,
    reached,
    rounds,
    top_k_probability,
)


def estimate(value, std_error):
    n = len(value)
    covariance = np.eye(n) * np.square(std_error)
    return Estimate(np.array(value), {SAMPLING: covariance}, np.empty((0, n)), np.empty(0, int))


@given(st.integers(1, 20_000), st.integers(1, 512))
def test_rounds_are_whole_windows_that_grow_and_end_with_the_plan(planned, window):
    ends = rounds(planned, window, StopSettings(half_width=1))
    assert ends[-1] == planned
    assert all(end % window == 0 for end in ends[:-1])
    assert np.all(np.diff(ends) > 0)
    assert rounds(planned, window, StopSettings()) == [planned]


def test_each_rule_says_why():
    known = estimate([3.0, 2.0, 1.0], [0.01, 0.01, 0.01])
    vague = estimate([3.0, 2.0, 1.0], [1.0, 1.0, 1.0])
    width, top, time = StopSettings(half_width=0.05), StopSettings(top_k=1), StopSettings(seconds=5)
    assert "± 0.05" in reached(width, known, 0)
    assert reached(width, vague, 0) is None
    assert "top 1" in reached(top, known, 0)
    assert reached(top, vague, 0) is None
    assert "5 seconds" in reached(time, vague, 5)
    assert reached(time, vague, 4.9) is None


def test_the_probability_of_a_top_set_is_that_of_the_normal_distribution():
    two = estimate([1.0, 0.0], [1.0, 1.0])
    assert top_k_probability(two, 1) == pytest.approx(0.760, abs=0.03)  # Φ(1 / √2)
    assert top_k_probability(two, 2) == 1.0


def test_cost_limits_the_coalitions():
    assert affordable(1000, StopSettings()) == 1000
    assert affordable(1000, StopSettings(cost=3, price=0.01)) == 300
    with pytest.raises(InputError, match="does not pay for one"):
        affordable(1000, StopSettings(cost=1, price=2))


def test_what_costs_just_as_much_as_there_is_can_be_afforded():
    """In floats 0.7 / 0.1 is below 7."""
    for cost, price, count in ((0.3, 0.1, 3), (0.7, 0.1, 7), (2.3, 0.01, 230)):
        assert affordable(1000, StopSettings(cost=cost, price=price)) == count


@pytest.mark.parametrize(
    ("rules", "estimator", "told"),
    [
        ({"top_k": 4}, "auto", "at most 3"),
        ({"half_width": 0.1}, "shapiq:KernelSHAP", "cannot be stopped early"),
        ({"seconds": 1}, "shapiq:SVARM", "cannot be stopped early"),
    ],
)
def test_rules_that_can_tell_nothing_are_refused(rules, estimator, told):
    with pytest.raises(InputError, match=told):
        check_rules(StopSettings(**rules), estimator, 4)


def test_the_reason_says_what_a_cost_left_of_the_budget():
    assert (
        cost_reason(StopSettings(cost=25, price=2.5), 28)
        == "; a cost of 25 pays for 10 of the budget of 28"
    )
    assert cost_reason(StopSettings(cost=100, price=2.5), 28) == ""


def test_without_errors_no_top_set_is_probable():
    assert top_k_probability(estimate([3.0, 2.0, 1.0], [np.nan] * 3), 1) == 0.0
