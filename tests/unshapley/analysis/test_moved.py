"""Which values left the interval that they had."""

from unshapley.analysis.moved import Moved, moved_beyond
from unshapley.results.published import PublishedValue


def entry(provider, value=None, low=None, high=None):
    return PublishedValue(provider, "valued" if value is not None else "quarantined", value, low, high)  # fmt: skip


def test_only_what_left_its_own_interval_has_moved():
    before = [entry("a", 1.0, 0.9, 1.1), entry("b", 1.0, 0.5, 1.5), entry("c"), entry("d", 1.0, 0.9, 1.1), entry("e", 2.0, 1.9, 2.1)]  # fmt: skip
    after = [entry("a", 1.2, 1.1, 1.3), entry("b", 1.4, 1.3, 1.5), entry("c", 1.0, 0.9, 1.1), entry("e")]  # fmt: skip
    assert moved_beyond(before, after) == (Moved("a", 1.0, 0.9, 1.1, 1.2),)
    assert str(moved_beyond(before, after)[0]) == "a: 1 (0.9 … 1.1) → 1.2"
