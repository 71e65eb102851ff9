from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from unshapley.coalitions import chunks, from_masks
from unshapley.config import Valuation
from unshapley.errors import InputError, UnshapleyError
from unshapley.measurement import measure, measure_endpoints
from unshapley.unlearning import UNLEARNERS
from unshapley.unlearning.finetune import FinetuneUnlearner
from unshapley.unlearning.hybrid import HybridUnlearner
from unshapley.unlearning.shrink_finetune import ShrinkFinetuneUnlearner, shrunk

NAMES = ["neg_log_loss", "accuracy"]
EVERYBODY = np.ones((1, 5), dtype=bool)
ALL = from_masks(range(1, 31), 5)


def make(name: str):
    return UNLEARNERS[name](Valuation())


@pytest.mark.parametrize("name", ["newton", "no_unlearning", "retrain"])
def test_forgetting_nobody_gives_the_pretrained_model(inputs, name):
    measured = measure(inputs, make(name), EVERYBODY, NAMES)
    full = measure_endpoints(inputs, make(name), NAMES)
    assert measured["neg_log_loss"][0] == pytest.approx(full["neg_log_loss"][1], abs=1e-5)


@pytest.mark.parametrize("name", ["newton", "finetune", "shrink_finetune", "hybrid", "retrain"])
def test_results_do_not_depend_on_the_chunking(inputs, name):
    whole = measure(inputs, make(name), ALL, NAMES)["neg_log_loss"]
    parts = [
        u for c in chunks(ALL, 7) for u in measure(inputs, make(name), c, NAMES)["neg_log_loss"]
    ]
    np.testing.assert_allclose(parts, whole, atol=1e-5)


@pytest.mark.parametrize("name", ["newton", "finetune", "shrink_finetune"])
def test_threads_share_no_state(inputs, name):
    """functional_call swaps tensors into the module it runs; a shared one corrupts the others."""
    parts = chunks(ALL, 3)
    alone = [measure(inputs, make(name), c, NAMES) for c in parts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda c: measure(inputs, make(name), c, NAMES), parts))
    assert together == alone


def test_newton_minimises_the_quadratic_model_of_the_retained_loss(inputs):
    """At the step the gradient g_S + H_S d + λ(θ + d − θ_0) is what forgetting nobody leaves."""
    pretrained, newton = inputs.pretrained, make("newton")
    statistics = pretrained.statistics
    staying = torch.tensor([[True, False, True, True, False]])
    from unshapley.statistics import head_vector

    theta, theta_0 = (
        head_vector(s, statistics.layer) for s in (pretrained.trained, pretrained.initial)
    )
    moved = newton(pretrained, staying)
    d = head_vector({k: v[0] for k, v in moved.items()}, statistics.layer) - theta
    stays = staying[0].double()
    gradient = stays @ statistics.gradient + newton.damping * (theta + d - theta_0)
    gradient += torch.einsum("i,ijk,k->j", stays, statistics.hessian, d)
    share = (stays @ statistics.rows) / statistics.rows.sum()
    left = statistics.gradient.sum(dim=0) + newton.damping * (theta - theta_0)
    torch.testing.assert_close(gradient, share * left, atol=1e-4, rtol=0)


def test_newton_needs_no_rows_and_finetune_says_that_it_does(inputs):
    hidden = replace(inputs, pretrained=replace(inputs.pretrained, rows=None))
    assert measure(hidden, make("newton"), ALL[:3], NAMES) == measure(
        inputs, make("newton"), ALL[:3], NAMES
    )
    for name in ("finetune", "shrink_finetune", "retrain"):
        with pytest.raises(InputError, match=f"{name} needs the retained rows.*\n.*newton"):
            measure(hidden, make(name), ALL[:3], NAMES)


def test_shrinking_begins_at_the_initialisation_and_ends_at_the_pretrained_model(inputs):
    pretrained = inputs.pretrained
    start = shrunk(pretrained, torch.tensor([[False] * 5, [True] * 5]))
    for name, tensor in start.items():
        torch.testing.assert_close(tensor[0], pretrained.initial[name])
        torch.testing.assert_close(tensor[1], pretrained.trained[name])


def test_hybrid_retrains_what_keeps_few_rows_and_unlearns_the_rest(inputs):
    hybrid = HybridUnlearner(0.25, 4, 10, 0.02)
    found = np.array(measure(inputs, hybrid, ALL, NAMES)["neg_log_loss"])
    small = ALL.sum(axis=1) == 1
    truth = measure(inputs, make("retrain"), ALL[small], NAMES)["neg_log_loss"]
    rest = measure(inputs, ShrinkFinetuneUnlearner(10, 0.02), ALL[~small], NAMES)["neg_log_loss"]
    np.testing.assert_allclose(found[small], truth, atol=1e-5)
    np.testing.assert_allclose(found[~small], rest, atol=1e-5)
    few = measure(inputs, HybridUnlearner(0.0, 5, 10, 0.02), ALL, NAMES)
    assert few == measure(inputs, make("retrain"), ALL, NAMES)


def test_unlearning_beats_no_unlearning(inputs):
    truth = np.array(measure(inputs, make("retrain"), ALL, NAMES)["neg_log_loss"])

    def rmse(unlearner) -> float:
        found = np.array(measure(inputs, unlearner, ALL, NAMES)["neg_log_loss"])
        return float(np.sqrt(((found - truth) ** 2).mean()))

    control = rmse(make("no_unlearning"))
    assert rmse(make("newton")) < 0.8 * control
    plain, shrink = FinetuneUnlearner(10, 0.02), ShrinkFinetuneUnlearner(10, 0.02)
    assert rmse(shrink) < 0.5 * rmse(plain) < 0.5 * control


def test_a_model_that_diverged_is_named_not_scored(inputs):
    with pytest.raises(UnshapleyError, match="3 of 3 models that are not finite.*10000"):
        measure(inputs, FinetuneUnlearner(5, 1e37), ALL[:3], NAMES)
