import numpy as np
import pytest

from unshapley.game.measuring import packed, unpacked


@pytest.mark.parametrize("count", [1, 3])
def test_samples_are_stored_to_the_last_bit(count):
    samples = np.random.default_rng(0).normal(size=(count, 7)).tolist()
    assert unpacked(packed(samples), count) == samples


def test_where_nothing_was_resampled_nothing_is_stored():
    assert packed([]) == ""
    assert unpacked("", 2) == []
