"""What chance explains of rows in common, and what it does not."""

import numpy as np
import pandas as pd
import pytest

from unshapley.data.chance import Chance, DistinctRows, collision_rate

BITS = [str(i) for i in range(12)]


def unique(rng, count):
    return rng.integers(0, 2**62, count).astype(np.uint64)


def rate_of(bits):
    frame = pd.DataFrame(np.random.default_rng(0).integers(0, 2, (900, bits)))
    return collision_rate(frame.rename(columns=str), [str(i) for i in range(bits)])


def refused(tables, others, rate=0.0):
    """How many of pairs of tables have more rows in common than chance explains."""
    distinct = [DistinctRows.of(t) for t in tables]
    chance = Chance(distinct, [rate] * len(tables))
    pairs = [(t, DistinctRows.of(o)) for t in distinct for o in others]
    return sum(t.in_common(o) > chance.largest(t.rows, o.rows) for t, o in pairs)


@pytest.mark.parametrize("bits", [3, 6, 10, 12, 14, 18])
def test_random_rows_of_binary_columns_are_explained(bits):
    """Whether a table of 150 rows repeats each row, or none."""
    rng, rate = np.random.default_rng(bits), rate_of(bits)
    found = 0
    for _ in range(50):
        *tables, test = (rng.integers(0, 2**bits, 150).astype(np.uint64) for _ in range(4))
        found += refused(tables, [test], rate)
    assert found <= 1


def test_texts_of_which_few_are_frequent_are_explained():
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(30):
        *tables, test = (rng.zipf(1.5, 300).astype(np.uint64) for _ in range(5))
        found += refused(tables, [test])
    assert found <= 2


@pytest.mark.parametrize("bits", [12, 16])
def test_what_has_leaked_is_not_explained(bits):
    rng, rate = np.random.default_rng(0), rate_of(bits)
    *tables, test = (rng.integers(0, 2**bits, 150).astype(np.uint64) for _ in range(5))
    tables[1] = np.concatenate([tables[1], test[:60]])
    assert refused(tables, [test], rate) == 1


def test_one_row_is_too_many_where_no_row_repeats():
    rng = np.random.default_rng(0)
    *tables, test = (unique(rng, 100) for _ in range(4))
    assert refused(tables, [test]) == 0
    tables[2][0] = test[7]
    assert refused(tables, [test]) == 1


def test_frequent_rows_beside_unique_ones_hide_no_leak():
    rng = np.random.default_rng(0)
    *tables, test = (np.where(rng.random(200) < 0.2, 0, unique(rng, 200)) for _ in range(4))
    assert refused(tables, [test]) == 0
    tables[2][:6] = unique(rng, 6)
    test[:6] = tables[2][:6]
    assert refused(tables, [test]) == 1


def test_a_table_that_holds_its_rows_twice_excuses_nobody():
    rng = np.random.default_rng(0)
    *tables, test = (unique(rng, 100) for _ in range(4))
    tables[0] = np.repeat(tables[0], 2)
    tables[2][:2] = test[:2]
    assert refused(tables, [test]) == 1


def test_equal_cells_give_the_rate_of_equal_rows():
    assert rate_of(10) == pytest.approx(2**-10, rel=0.05)
    one_of_a_kind = pd.DataFrame({"a": range(50), "b": 0})
    assert collision_rate(one_of_a_kind, ["a", "b"]) == 0.0
    assert collision_rate(one_of_a_kind[:1], ["a", "b"]) == 0.0
    assert collision_rate(one_of_a_kind, ["b"]) == 1.0
