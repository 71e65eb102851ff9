"""Curves: the coalitions they meet, and verdicts that are known beforehand."""

from dataclasses import replace

import numpy as np
import pytest

from unshapley.analysis.curves import Curves, area, planned, removal_curves
from unshapley.game.coalitions import to_bits
from unshapley.game.removals import LEAST, MOST, removal_orders, removals
from unshapley.game.utilities import build_utilities
from unshapley.unlearning import build_unlearner

UTILITY = "neg_log_loss"
MEASURED = build_utilities([UTILITY])[0]


def additive(values, random):
    """Curves of a game in which every provider adds its value."""
    orders = removal_orders(values, random, 0)
    lines = {name: removals(order) @ np.array(values) for name, order in orders.items()}
    return Curves(tuple("abcdefgh"[: len(values)]), UTILITY, orders, lines)


def test_one_player_less_at_a_time():
    assert to_bits(removals((2, 0, 1))) == ["111", "110", "010", "000"]


def test_orders_go_by_value_and_more_random_ones_leave_the_first():
    few, many = (removal_orders([1.0, 3.0, 1.0, 2.0], count, 7) for count in (2, 9))
    assert few[MOST] == (1, 3, 0, 2)
    assert few[LEAST] == (2, 0, 3, 1)
    assert {name: many[name] for name in few} == few


def test_every_coalition_is_planned_once_and_neither_nobody_nor_everybody():
    found = planned(removal_orders([3.0, 2.0, 1.0], 8, 0))
    bits = to_bits(found)
    assert len(set(bits)) == len(bits)
    assert not {"000", "111"} & set(bits)
    assert list(found.sum(axis=1)) == sorted(found.sum(axis=1))


def test_area_is_the_mean_utility():
    assert area(np.array([2.0, 1.0, 0.0])) == pytest.approx(1.0)


def test_values_that_mean_something_are_told_from_those_that_do_not():
    assert additive([8.0, 4, 2, 1, 0.5, 0.2, 0, -3], 20).verdict.finding == "meaningful"
    alike = additive([1.0] * 5, 5).verdict
    assert (alike.finding, alike.ratios) == ("undecided", None)
    assert "no comparison is possible" in str(alike)


def test_adding_is_removing_read_from_its_end():
    table = additive([3.0, 1.0, 2.0], 2).table()
    add = table[(table["direction"] == "add") & (table["order"] == MOST)]
    assert add["provider"].tolist() == ["", "a", "c", "b"]
    assert add["coalition"].tolist() == ["000", "100", "101", "111"]
    assert add["utility"].tolist() == [0, 3, 5, 6]


def test_measured_curves_begin_and_end_alike(inputs):
    values = {p: float(i) for i, p in enumerate(inputs.players)}
    done = []
    found = removal_curves(inputs, build_unlearner("retrain"), values, MEASURED, random=2, seed=0,
                           size=4, advance=done.append)  # fmt: skip
    ends = {(line[0], line[-1]) for line in found.utilities.values()}
    assert len(ends) == 1
    assert sum(done) == len(planned(found.orders))


def test_a_partial_valuation_removes_its_players_only(inputs):
    game = replace(inputs, players=inputs.players[:3])
    values = dict(zip(game.players, (1.0, 2.0, 3.0), strict=True))
    found = removal_curves(game, build_unlearner("newton"), values, MEASURED, random=2, seed=0, size=9)  # fmt: skip
    assert all(len(line) == 4 for line in found.utilities.values())
    assert found.utilities[MOST][-1] > -1.5  # two providers still stay
