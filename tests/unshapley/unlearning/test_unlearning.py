from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.unshapley.games import digits_game, from_masks
from unshapley.config import CurvatureSettings, PretrainSettings
from unshapley.curvature.statistics import with_statistics
from unshapley.errors import InputError, UnshapleyError
from unshapley.game.coalitions import chunks
from unshapley.game.game import Game
from unshapley.game.measuring import evaluate_batch, measure, measure_endpoints
from unshapley.game.utilities import build_utilities
from unshapley.models.fitting import fit
from unshapley.models.pretrained import flat
from unshapley.models.training_rows import TrainingRows
from unshapley.unlearning import build_unlearner
from unshapley.unlearning.shrink_finetune import shrunk

NAMES = ["neg_log_loss", "accuracy"]
EVERYBODY = np.ones((1, 5), dtype=bool)
ALL = from_masks(range(1, 31), 5)


def make(name: str, **options):
    return build_unlearner(name, options)


@pytest.mark.parametrize(
    "name",
    ["newton", "finetune", "newton_finetune", "natural_gradient", "no_unlearning", "retrain"],
)
def test_forgetting_nobody_gives_the_pretrained_model(inputs, name):
    measured = measure(inputs, make(name), EVERYBODY, build_utilities(NAMES))
    full = measure_endpoints(inputs, make(name), build_utilities(NAMES)).utilities
    assert measured["neg_log_loss"][0] == pytest.approx(full["neg_log_loss"][1], abs=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "newton",
        "finetune",
        "shrink_finetune",
        "newton_finetune",
        "natural_gradient",
        "hybrid",
        "retrain",
    ],
)
def test_results_do_not_depend_on_the_chunking(inputs, name):
    unlearner = make(name).fitted(inputs.pretrained, torch.from_numpy(ALL))
    whole = measure(inputs, unlearner, ALL, build_utilities(NAMES))["neg_log_loss"]
    parts = [
        u
        for c in chunks(ALL, 7)
        for u in measure(inputs, unlearner, c, build_utilities(NAMES))["neg_log_loss"]
    ]
    np.testing.assert_allclose(parts, whole, atol=3e-5 if name == "natural_gradient" else 1e-5)


@pytest.mark.parametrize("name", ["newton", "newton_finetune", "shrink_finetune"])
def test_threads_share_no_state(inputs, name):
    """functional_call swaps tensors into the module it runs; a shared one corrupts the others."""
    parts = chunks(ALL, 3)
    alone = [measure(inputs, make(name), c, build_utilities(NAMES)) for c in parts]
    with ThreadPoolExecutor(4) as pool:
        together = list(
            pool.map(lambda c: measure(inputs, make(name), c, build_utilities(NAMES)), parts)
        )
    assert together == alone


def test_newton_minimises_the_quadratic_model_of_the_retained_loss(inputs):
    """Where it arrives, the slope of that model is what forgetting nobody leaves."""
    pretrained, newton = inputs.pretrained, make("newton", proximal=0)
    curvature = pretrained.curvature
    staying = torch.tensor([[True, False, True, True, False]])
    theta, theta_0 = (curvature.coordinates(s) for s in (pretrained.trained, pretrained.initial))
    moved = newton(pretrained, staying)
    d = curvature.coordinates({k: v[0] for k, v in moved.items()}) - theta
    stays = staying[0].double()
    decay, kept, total = 0.01, stays @ curvature.rows, curvature.rows.sum()
    slope = stays @ curvature.gradient + torch.einsum("i,ijk,k->j", stays, curvature.hessian, d)
    slope += kept * decay * (theta + d)
    slope += newton.damping * (theta + d - theta_0)
    left = curvature.gradient.sum(dim=0) + total * decay * theta
    left += newton.damping * (theta - theta_0)
    torch.testing.assert_close(slope, kept / total * left, atol=1e-3, rtol=1e-3)


def test_newton_goes_less_far_the_larger_the_step(inputs):
    """ρ shortens a long step by more than a short one; forgetting nobody is no step at all."""
    staying = torch.tensor([[True] * 5, [True] * 4 + [False], [True] + [False] * 4])
    start = flat(inputs.pretrained.trained, inputs.pretrained.curvature.parameters)

    def lengths(proximal: float) -> torch.Tensor:
        moved = make("newton", proximal=proximal)(inputs.pretrained, staying)
        return torch.stack(
            [(flat({n: t[k] for n, t in moved.items()}, moved) - start).norm() for k in range(3)]
        )

    free, held = lengths(0.0), lengths(0.3)
    assert free[0] < 1e-5
    assert held[2] / free[2] < held[1] / free[1] < 1


def test_newton_needs_no_rows_and_retain_based_ones_say_that_they_do(inputs):
    rows = inputs.pretrained.rows
    mine = rows.owner < 2
    some = TrainingRows(rows.x[mine], rows.y[mine], rows.owner[mine])
    hidden = replace(inputs, pretrained=replace(inputs.pretrained, rows=some))
    assert measure(hidden, make("newton"), ALL[:3], build_utilities(NAMES)) == measure(
        inputs, make("newton"), ALL[:3], build_utilities(NAMES)
    )
    for name in ("finetune", "shrink_finetune", "newton_finetune", "hybrid", "retrain"):
        with pytest.raises(InputError, match="(?s)needs the rows.*retain-free.*newton"):
            measure(hidden, make(name), ALL[3:6], build_utilities(NAMES))


def test_newton_forgets_a_provider_whatever_the_order_of_providers(inputs):
    pretrained = inputs.pretrained
    order = torch.tensor([3, 1, 4, 0, 2])
    c = pretrained.curvature
    turned = replace(
        pretrained,
        counts=pretrained.counts[order],
        curvature=replace(
            c, gradient=c.gradient[order], hessian=c.hessian[order], rows=c.rows[order]
        ),
    )
    staying = torch.from_numpy(ALL)
    one, other = (
        make("newton")(p, s) for p, s in ((pretrained, staying), (turned, staying[:, order]))
    )
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, atol=1e-5, rtol=1e-5)


def test_shrinking_begins_at_the_initialisation_and_ends_at_the_pretrained_model(inputs):
    pretrained = inputs.pretrained
    start = shrunk(pretrained, torch.tensor([[False] * 5, [True] * 5]))
    for name, tensor in start.items():
        torch.testing.assert_close(tensor[0], pretrained.initial[name])
        torch.testing.assert_close(tensor[1], pretrained.trained[name])


def test_hybrid_retrains_what_keeps_few_rows_and_unlearns_the_rest(inputs):
    hybrid = make("hybrid", retrain_below=0.25, retrain_up_to=4, steps=10)
    found = np.array(measure(inputs, hybrid, ALL, build_utilities(NAMES))["neg_log_loss"])
    small = ALL.sum(axis=1) == 1
    truth = measure(inputs, make("retrain"), ALL[small], build_utilities(NAMES))["neg_log_loss"]
    rest = measure(inputs, make("newton_finetune"), ALL[~small], build_utilities(NAMES))[
        "neg_log_loss"
    ]
    np.testing.assert_allclose(found[small], truth, atol=1e-5)
    np.testing.assert_allclose(found[~small], rest, atol=1e-5)
    few = measure(inputs, make("hybrid", retrain_up_to=5), ALL, build_utilities(NAMES))
    assert few == measure(inputs, make("retrain"), ALL, build_utilities(NAMES))


def test_hybrid_splits_alike_in_every_chunk_also_where_nobody_fitted_it(inputs):
    hybrid = make("hybrid", cost=0.3, retrain_up_to=0)
    whole = measure(inputs, hybrid, ALL, build_utilities(NAMES))["neg_log_loss"]
    parts = [
        u
        for c in chunks(ALL, 4)
        for u in measure(inputs, hybrid, c, build_utilities(NAMES))["neg_log_loss"]
    ]
    np.testing.assert_allclose(parts, whole, atol=1e-5)


@pytest.mark.parametrize("cost", [0.001, 0.05, 0.2, 0.5, 1.0])
def test_hybrid_spends_at_most_its_cost(inputs, cost):
    """In rows × steps; one step a coalition is the least there is."""
    staying, pretrained = torch.from_numpy(ALL), inputs.pretrained
    hybrid = make("hybrid", cost=cost, retrain_up_to=0).fitted(pretrained, staying)
    share, steps = pretrained.share(staying), pretrained.recipe.steps
    small = share <= hybrid.retrain_below + 1e-12
    spent = share[small].sum() + share[~small].sum() * hybrid.steps / steps
    assert spent / share.sum() <= max(cost, 1 / steps) + 1e-9
    assert hybrid.fitted(pretrained, staying[:3]) == hybrid
    if cost == 1.0:
        assert small.all()


@pytest.mark.parametrize("cost", [0.05, 0.2, 0.5])
def test_with_mini_batches_hybrid_spends_at_most_its_cost(cost):
    """In rows: a mini-batch of the recipe has fewer of them than a step of fine-tuning."""
    pretrained = digits_game(providers=5, steps=600, batch_size=12).pretrained
    staying = torch.from_numpy(ALL)
    hybrid = make("hybrid", cost=cost, retrain_up_to=0).fitted(pretrained, staying)
    work = [
        make(name, **options).flop(pretrained, staying, 1.0)
        for name, options in (("retrain", {}), ("finetune", {"steps": hybrid.steps}))
    ]
    spent = torch.where(hybrid.exact(pretrained, staying), *work).sum()
    assert spent <= cost * work[0].sum() + 1e-6
    assert spent > 0.5 * cost * work[0].sum()


def test_unlearning_beats_no_unlearning(inputs):
    truth = np.array(measure(inputs, make("retrain"), ALL, build_utilities(NAMES))["neg_log_loss"])

    def rmse(unlearner) -> float:
        found = np.array(measure(inputs, unlearner, ALL, build_utilities(NAMES))["neg_log_loss"])
        return float(np.sqrt(((found - truth) ** 2).mean()))

    control = rmse(make("no_unlearning"))
    assert rmse(make("newton")) < 0.8 * control
    plain = rmse(make("finetune", steps=10))
    assert rmse(make("newton_finetune", steps=10)) < plain < control
    assert rmse(make("shrink_finetune", steps=10)) < 0.5 * plain
    assert rmse(make("hybrid", retrain_up_to=0, steps=10, cost=0.3)) < 0.6 * plain


def test_a_model_that_diverged_is_named_not_scored(inputs):
    with pytest.raises(UnshapleyError, match="3 of 3 models that are not finite.*10000"):
        measure(inputs, make("finetune", learning_rate=1e37), ALL[:3], build_utilities(NAMES))


def test_a_model_that_answers_all_rows_alike_is_named(inputs, caplog):
    batch = {"head.weight": torch.zeros(2, *inputs.pretrained.trained["head.weight"].shape)}
    batch["head.weight"][1] = inputs.pretrained.trained["head.weight"]
    evaluate_batch(inputs, batch, build_utilities(NAMES), ALL[:2])
    assert [r.getMessage() for r in caplog.records] == [
        "coalition 10000: the model answers every test row alike"
    ]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("neuton", {}, "no unlearner 'neuton'.*\n.*newton"),
        ("newton", {"stpes": 3}, "newton has no option 'stpes'.*\n.*damping, proximal"),
        ("finetune", {"steps": 0}, "steps = 0: .*greater than or equal to 1"),
    ],
)
def test_an_unknown_unlearner_or_option_says_what_exists(name, options, message):
    with pytest.raises(InputError, match=message):
        make(name, **options)


def test_another_seed_retrains_from_another_initialisation(inputs):
    recipe = inputs.pretrained.recipe
    found = [
        measure(inputs, make("retrain", **options), ALL[1:4], build_utilities(NAMES))[
            "neg_log_loss"
        ]
        for options in ({}, {"seed": recipe.seed}, {"seed": recipe.seed + 1})
    ]
    assert found[0] == found[1]  # the recorded initialisation is that of the recorded seed
    assert np.abs(np.subtract(found[0], found[2])).min() > 1e-4


def test_other_seeds_are_the_same_in_any_number_of_threads(inputs):
    """Torch draws weights from one random state for the whole process."""

    def utilities(seed: int) -> list[float]:
        measured = measure(inputs, make("retrain", seed=seed), ALL[:1], build_utilities(NAMES))
        return measured["neg_log_loss"]

    alone = [utilities(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(utilities, [*range(4)] * 3)) == alone * 3


def test_a_regression_that_fits_well_is_not_thrown_off():
    """Eight providers of the same linear law: forgetting one changes hardly anything."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1200, 2, generator=generator)
    y = (20 * x[:, 0] + 10 * x[:, 1] + torch.randn(1200, generator=generator)) / 22.4
    parts = {f"p{i}": (x[i * 100 : (i + 1) * 100], y[i * 100 : (i + 1) * 100]) for i in range(8)}
    recipe = PretrainSettings(kwargs={"hidden": [32]})
    fitted = fit(recipe, parts, (x[800:900], y[800:900]), outputs=1)
    assert 0.001 < fitted.noise < 0.01  # 1 / 22.4², and what the network misses
    fitted = with_statistics(fitted, parts, CurvatureSettings())
    game = Game(tuple(parts), tuple(parts), fitted, x[900:], y[900:])
    without_one = ~np.eye(8, dtype=bool)
    utility = build_utilities(["neg_mse"], "regression")

    def utilities(name: str) -> np.ndarray:
        return np.array(measure(game, build_unlearner(name), without_one, utility)["neg_mse"])

    truth, none = utilities("retrain"), utilities("no_unlearning")
    for name in ("newton", "newton_finetune", "hybrid"):
        error = np.sqrt(np.mean((utilities(name) - truth) ** 2))
        assert error < np.sqrt(np.mean((none - truth) ** 2)), name
