"""The same bits on any number of cores, and the caller's own settings afterwards."""

import threading

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from unshapley.estimators import estimate, make_plan
from unshapley.estimators.interactions import interactions
from unshapley.fidelity.correction import choose, correct, with_correction
from unshapley.game.kept import Kept
from unshapley.game.measuring import measure
from unshapley.game.utilities import build_utilities
from unshapley.numerics import deterministic
from unshapley.results.valuation import with_test_noise
from unshapley.unlearning import build_unlearner

N = 12
PLAN = make_plan("gaussian_process", N, 700, 0)
RNG = np.random.default_rng(0)
WORTH = RNG.uniform(0.5, 1.5, N)
TABLE = np.concatenate([[0.0], -2 / (0.5 + PLAN.coalitions @ WORTH), [-0.1]])


def noisy() -> bytes:
    samples = TABLE[:, None] + np.random.default_rng(1).normal(size=(len(TABLE), 60))
    return with_test_noise(estimate(PLAN, TABLE), samples).std_error.tobytes()


def corrected() -> bytes:
    exact = np.zeros(len(PLAN.coalitions), dtype=bool)
    rows = choose(40, 0, exact, PLAN.coalitions)
    kept = Kept.apart(PLAN.coalitions.mean(axis=1))
    found = correct(PLAN.coalitions, kept, TABLE[1:-1], (rows, TABLE[1:-1][rows] - 0.1), exact, 0)
    return (
        found.corrected.tobytes()
        + with_correction(found, estimate(PLAN, TABLE)).std_error.tobytes()
    )


def of_pairs() -> bytes:
    found = interactions(PLAN, TABLE)
    return found.value.tobytes() + found.std_error.tobytes()


@pytest.mark.parametrize("compute", [noisy, corrected, of_pairs])
def test_bits_do_not_depend_on_the_number_of_threads(compute):
    with threadpool_limits(1):
        alone = compute()
    with threadpool_limits(2):
        assert compute() == alone


def test_what_the_caller_had_set_is_restored(inputs):
    torch.set_num_threads(2)
    coalitions = np.eye(5, dtype=bool)
    measure(inputs, build_unlearner("newton"), coalitions, build_utilities(["accuracy"]))
    assert torch.get_num_threads() == 2
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_last_of_several_threads_restores_it():
    torch.set_num_threads(2)
    inside, leave = threading.Event(), threading.Event()

    def work() -> None:
        with deterministic():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(10)
    with deterministic():
        pass
    assert torch.are_deterministic_algorithms_enabled(), "the other one is still at work"
    leave.set()
    thread.join()
    assert not torch.are_deterministic_algorithms_enabled()
