"""The error that a finite test set makes, by bootstrap."""

import numpy as np
import pytest
import torch

from unshapley.errors import InputError
from unshapley.estimators import SAMPLING, TEST_SET, Estimate
from unshapley.game.utilities import UTILITIES, scores_of
from unshapley.game.utility import RESAMPLES
from unshapley.results.valuation import with_test_noise

GENERATOR = torch.Generator().manual_seed(3)
OUTPUTS = torch.randn(4, 90, 3, generator=GENERATOR)
Y = torch.randint(3, (90,), generator=GENERATOR)


@pytest.mark.parametrize("name", [u.name for u in scores_of("classification")])
def test_samples_are_of_rows_and_alike_for_every_model(name):
    found = UTILITIES[name].resampled(OUTPUTS, Y)
    assert found.shape == (4, RESAMPLES)
    draws = torch.randint(90, (RESAMPLES, 90), generator=torch.Generator().manual_seed(0))
    for k in (0, RESAMPLES - 1):
        wanted = UTILITIES[name].score(OUTPUTS[:, draws[k]], Y[draws[k]])
        torch.testing.assert_close(found[:, k], wanted.double(), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(UTILITIES[name].resampled(OUTPUTS[2:], Y), found[2:])


@pytest.mark.parametrize(("name", "classes"), [("auroc", 2), ("r2", 1)])
def test_samples_with_one_label_are_left_out_alike_for_every_model(name, classes):
    y = torch.zeros(40, dtype=torch.int64 if classes == 2 else torch.float64)
    y[:2] = 1
    outputs = torch.randn(5, 40, classes, generator=GENERATOR)
    found = UTILITIES[name].resampled(outputs, y)
    draws = torch.randint(40, (RESAMPLES, 40), generator=torch.Generator().manual_seed(0))
    defined = [draw for draw in draws if y[draw].any()]
    assert 0 < RESAMPLES - len(defined) <= 15
    assert found.shape == (5, len(defined))
    assert found.isfinite().all()
    wanted = UTILITIES[name].score(outputs[:, defined[-1]], y[defined[-1]])
    torch.testing.assert_close(found[:, -1], wanted.double())
    torch.testing.assert_close(UTILITIES[name].resampled(outputs[1:], y), found[1:])
    assert UTILITIES["accuracy" if classes == 2 else "neg_mse"].samples_of(y).shape[0] == RESAMPLES
    y[0] = 0
    with pytest.raises(InputError, match=rf"{name} is not defined on \d+ of 60(.|\n)*at most 25%"):
        UTILITIES[name].resampled(outputs, y)


def test_the_spread_is_the_standard_error_of_a_mean():
    hits = (OUTPUTS.argmax(dim=-1) == Y).double()
    wanted = hits.std(dim=1) / np.sqrt(90)
    found = UTILITIES["accuracy"].resampled(OUTPUTS, Y).std(dim=1)
    np.testing.assert_allclose(found, wanted, rtol=0.35)


def test_the_error_of_values_is_that_of_their_samples():
    operator = np.array([[-0.5, 0.5, -0.5, 0.5], [-0.5, -0.5, 0.5, 0.5]])
    zero = np.zeros((2, 2))
    exact = Estimate(np.zeros(2), {SAMPLING: zero}, zero[:0], np.empty(0, int), operator)
    samples = np.random.default_rng(0).normal(size=(4, 500))
    found = with_test_noise(exact, samples)
    np.testing.assert_allclose(found.error_of(TEST_SET), [1.0, 1.0], rtol=0.1)
    assert not found.error_of(SAMPLING).any()
    np.testing.assert_allclose(found.std_error, found.error_of(TEST_SET))
