import numpy as np
import pytest

from unshapley.game.measuring import packed, unpacked


@pytest.mark.parametrize("count", [1, 3])
def test_samples_are_stored_to_the_last_bit(count):
    samples = np.random.default_rng(0).normal(size=(count, 7))
    assert unpacked(packed(samples), count).tobytes() == samples.tobytes()


def test_where_nothing_was_resampled_nothing_is_stored():
    assert packed(np.empty((2, 0))) == ""
    assert unpacked("", 2).shape == (2, 0)
