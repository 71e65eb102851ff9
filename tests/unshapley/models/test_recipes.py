"""Models trained by a recipe: as torch trains one alone, whatever is computed beside it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.unshapley.games import diabetes_game, digits_game
from unshapley.config import PretrainSettings, parse_params
from unshapley.errors import InputError
from unshapley.models.architectures import mlp
from unshapley.models.batches import MiniBatches
from unshapley.models.optimizers import schedule_of
from unshapley.models.recipes import passes, train_by_recipe
from unshapley.models.training import stack
from unshapley.models.training_rows import TrainingRows
from unshapley.numerics import deterministic
from unshapley.unlearning import build_unlearner

RECIPES = [
    {"optimizer": "adam", "learning_rate": 0.01},
    {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 1.0},
    {"optimizer": "sgd", "learning_rate": 0.1},
    {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.0},
    {"optimizer": "adamw", "weight_decay": 1.0, "schedule": "cosine"},
    {"optimizer": "sgd", "learning_rate": 0.1, "schedule": "cosine", "warmup": 0.2},
    {"optimizer": "adam", "warmup": 0.5},
    {"optimizer": "adam", "batch_size": 7},
    {"optimizer": "adamw", "weight_decay": 1.0, "batch_size": 13, "schedule": "cosine"},
    {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 7, "seed": 3},
    {"optimizer": "adam", "learning_rate": 0.1, "patience": 2},
    {"optimizer": "adamw", "learning_rate": 0.1, "batch_size": 25, "patience": 1},
]
COUNTS = torch.tensor([30, 20, 10])
STAYING = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 1, 1], [0, 0, 1]], dtype=torch.bool)
OF_TORCH = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}


def some_rows(seed: int = 0) -> TrainingRows:
    """Three providers of 30, 20 and 10 rows."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(60, 4, generator=generator).double()
    y = (x[:, 0] + 0.5 * torch.randn(60, generator=generator) > 0).long()
    return TrainingRows(x, y, torch.repeat_interleave(torch.arange(3), COUNTS))


def small_model() -> torch.nn.Module:
    torch.manual_seed(0)
    return mlp(4, 2, [5]).double()


def trained(recipe: PretrainSettings, staying=STAYING, rows=None, model=None):
    model = model or small_model()
    start = stack(dict(model.state_dict()), len(staying))
    rows = rows or some_rows()
    return train_by_recipe(model, start, rows, COUNTS, staying, recipe, reference())


def by_recipe(*args, **kwargs):
    return trained(*args, **kwargs).parameters


def reference() -> tuple[torch.Tensor, torch.Tensor]:
    rows = some_rows(seed=1)
    return rows.x, rows.y


def by_torch(recipe: PretrainSettings, stays):
    """A plain loop over one model's own rows, in the slices of an order of all rows."""
    model, rows = small_model(), some_rows()
    size = recipe.batch_size or 60
    slices = -(-60 // size)
    best, least, waited = {}, torch.inf, 0
    options = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "sgd":
        options["momentum"] = 0.9 if recipe.momentum is None else recipe.momentum
    optimizer = OF_TORCH[recipe.optimizer](model.parameters(), **options)
    for step in range(recipe.steps):
        order = np.random.default_rng([recipe.seed, step // slices]).permutation(60)
        begin = step % slices * size
        own = torch.from_numpy(order[begin : begin + size])
        own = own[stays[rows.owner[own]]]
        if len(own):
            optimizer.param_groups[0]["lr"] = recipe.learning_rate * _rates(recipe)[step]
            optimizer.zero_grad()
            functional.cross_entropy(model(rows.x[own]), rows.y[own]).backward()
            optimizer.step()
        if recipe.patience and ((step + 1) % slices == 0 or step + 1 == recipe.steps):
            x, y = reference()
            loss, waited = functional.cross_entropy(model(x), y).item(), waited + 1
            if loss < least:
                best = {name: t.detach().clone() for name, t in model.named_parameters()}
                least, waited = loss, 0
            if waited == recipe.patience:
                break
    return best or dict(model.named_parameters())


def _rates(recipe: PretrainSettings) -> list[float]:
    """Factor on the learning rate of every step."""
    rising = round(recipe.steps * recipe.warmup)
    rise = [k / (rising + 1) for k in range(1, rising + 1)]
    falling = np.cos(np.linspace(0, np.pi, recipe.steps - rising + 1)).tolist()
    fall = [(1 + cosine) / 2 if recipe.schedule == "cosine" else 1.0 for cosine in falling]
    return rise + fall[:-1]


def test_a_cosine_falls_from_the_learning_rate_to_nearly_zero():
    factor = schedule_of(PretrainSettings(steps=100, schedule="cosine", warmup=0.1))
    factors = [factor(step) for step in range(100)]
    assert factors[:11] == sorted(factors[:11])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[10] == 1.0
    assert 0 < factors[0] < 0.1
    assert 0 < factors[-1] < 0.001
    assert schedule_of(PretrainSettings()) is None


@pytest.mark.parametrize("options", RECIPES, ids=str)
def test_every_model_is_what_torch_trains_on_its_rows_alone(options):
    recipe = PretrainSettings(steps=30, **options)
    together = by_recipe(recipe)
    for k, stays in enumerate(STAYING):
        for name, expected in by_torch(recipe, stays).items():
            torch.testing.assert_close(together[name][k], expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("options", RECIPES, ids=str)
def test_retraining_everybody_gives_the_pretrained_model(options):
    pretrained = digits_game(steps=10, **options).pretrained
    everybody = torch.ones(1, 3, dtype=torch.bool)
    with deterministic():
        retrained = build_unlearner("retrain")(pretrained, everybody)
    for name, tensor in retrained.items():
        assert torch.equal(tensor[0], pretrained.trained[name])


def test_each_model_stops_by_itself():
    recipe = PretrainSettings(steps=200, learning_rate=0.1, patience=5)
    result = trained(recipe)
    assert len(set(result.steps.tolist())) > 1
    assert 0 < result.steps.min() <= result.steps.max() < 100
    for k, step in enumerate(result.steps.tolist()):
        # the best of the steps up to there, and what training for so many steps gives
        shorter = by_recipe(PretrainSettings(steps=step, learning_rate=0.1), STAYING[k : k + 1])
        for name, tensor in shorter.items():
            torch.testing.assert_close(result.parameters[name][k], tensor[0])
    assert trained(recipe.model_copy(update={"patience": None})).steps.tolist() == [200] * 4


def test_with_patience_for_all_steps_the_best_of_all_is_kept():
    recipe = PretrainSettings(steps=60, learning_rate=0.1, patience=60)
    short = trained(recipe.model_copy(update={"patience": 20}))
    assert torch.equal(trained(recipe).steps, short.steps)


def test_a_model_that_diverges_keeps_weights_from_before():
    options = {"steps": 300, "optimizer": "sgd", "learning_rate": 30, "weight_decay": 1}
    diverged = by_recipe(PretrainSettings(**options))
    assert not diverged["head.weight"].isfinite().any()
    kept = by_recipe(PretrainSettings(**options, patience=300))
    assert all(tensor.isfinite().all() for tensor in kept.values())


def test_the_weights_early_in_training_are_no_later_than_the_best():
    options = {"learning_rate": 0.1, "patience": 3}
    stopped = digits_game(steps=400, hidden=(), **options).pretrained
    assert stopped.steps < 200
    late = digits_game(steps=400, hidden=(), rewind=0.6, **options).pretrained
    for name, tensor in late.trained.items():
        assert torch.equal(late.rewind[name], tensor)
        assert torch.equal(stopped.trained[name], tensor)
    early = digits_game(steps=4, hidden=(), learning_rate=0.1).pretrained
    other = digits_game(steps=400, hidden=(), rewind=0.01, **options).pretrained
    for name, tensor in early.trained.items():
        assert torch.equal(other.rewind[name], tensor)


def test_a_batch_of_all_rows_is_a_full_batch():
    full = by_recipe(PretrainSettings(steps=5))
    for size in (60, 1000):
        for name, tensor in by_recipe(PretrainSettings(steps=5, batch_size=size)).items():
            assert torch.equal(tensor, full[name])


def test_a_model_is_the_same_whichever_other_rows_can_be_read():
    recipe, rows = PretrainSettings(steps=20, batch_size=9), some_rows()
    staying = torch.tensor([[1, 0, 1], [0, 0, 1]], dtype=torch.bool)
    kept = rows.owner != 1
    fewer = TrainingRows(rows.x[kept], rows.y[kept], rows.owner[kept])
    expected = by_recipe(recipe, staying)
    for name, tensor in by_recipe(recipe, staying, fewer).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6)


def test_without_a_row_in_a_mini_batch_a_model_takes_no_step():
    """Nobody's model never moves, not even by weight decay."""
    nobody = torch.zeros(1, 3, dtype=torch.bool)
    initial = dict(small_model().named_parameters())
    for optimizer in OF_TORCH:
        recipe = PretrainSettings(steps=5, batch_size=7, optimizer=optimizer, weight_decay=0.5)
        for name, tensor in by_recipe(recipe, nobody).items():
            assert torch.equal(tensor[0], initial[name])


def test_a_model_that_cannot_be_batched_is_trained_the_same():
    recipe, model = PretrainSettings(steps=20, batch_size=9), small_model()
    model.unshapley_sequential = True
    one_by_one = by_recipe(recipe, model=model)
    for name, tensor in by_recipe(recipe).items():
        torch.testing.assert_close(one_by_one[name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("size", "steps"), [(None, 7), (100, 7), (7, 4), (7, 9), (7, 10), (60, 3)])
def test_passes_are_the_rows_that_are_read(size, steps):
    recipe = PretrainSettings(steps=steps, batch_size=size)
    batches = MiniBatches(some_rows(), COUNTS, STAYING[:1], min(size or 60, 60), 0)
    read = sum(batches(step)[0].shape[1] for step in range(steps))
    assert passes(recipe, 60) == pytest.approx(read / 60)


def test_an_epoch_takes_every_row_once():
    batches = MiniBatches(some_rows(), COUNTS, STAYING[:1], 7, 0)
    orders = []
    for number in range(2):
        steps = range(9 * number, 9 * number + 9)
        orders.append(torch.cat([batches(step)[0][0] for step in steps])[:, 0])
        assert torch.equal(orders[-1].sort().values, some_rows().x[:, 0].sort().values)
    assert not torch.equal(*orders)


def test_adamw_minimises_the_loss_without_a_penalty():
    """What `newton` assumes of it: its weights are where the gradient of the loss alone is zero."""
    by_optimizer = {}
    for name in ("adam", "adamw"):
        recipe = PretrainSettings(optimizer=name, steps=1500, weight_decay=0.1)
        model, rows = torch.nn.Linear(4, 1).double(), some_rows()
        torch.nn.init.zeros_(model.weight)
        rows = TrainingRows(rows.x, rows.y.double(), rows.owner)
        start = stack(dict(model.state_dict()), 1)
        everybody, test = STAYING[:1], reference()
        result = train_by_recipe(model, start, rows, COUNTS, everybody, recipe, test).parameters
        residuals = rows.x @ result["weight"][0, 0] + result["bias"][0] - rows.y
        gradient = residuals @ rows.x / len(rows.y)
        by_optimizer[name] = float(gradient.norm())
        penalised = gradient + recipe.penalty * result["weight"][0, 0]
        assert float(penalised.norm()) < 1e-3
    assert by_optimizer["adam"] > 0.01


def test_a_penalty_that_adamw_has_not_is_not_assumed():
    pretrained = diabetes_game(steps=5).pretrained
    recipes = [PretrainSettings(optimizer=o, weight_decay=w) for o, w in
               (("adamw", 0.5), ("adam", 0.0), ("adam", 0.5))]  # fmt: skip
    staying = torch.tensor([[1, 1, 0, 0]], dtype=torch.bool)
    for name in ("newton", "finetune", "neggrad_plus", "scrub", "random_label", "ridge_head"):
        decoupled, none, penalised = (
            build_unlearner(name)(_with(pretrained, recipe), staying) for recipe in recipes
        )
        tensor = "head.weight"
        assert torch.equal(decoupled[tensor], none[tensor]), name
        assert not torch.equal(decoupled[tensor], penalised[tensor]), name


def _with(pretrained, recipe):
    return replace(pretrained, recipe=recipe)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "lbfgs"}, "pretrain.optimizer = 'lbfgs'.*'adam', 'adamw' or 'sgd'"),
        ({"momentum": 0.9}, "pretrain: momentum = 0.9 is of sgd, and optimizer is adam"),
        ({"schedule": "step"}, "pretrain.schedule = 'step'.*'constant' or 'cosine'"),
        ({"batch_size": 0}, "pretrain.batch_size = 0"),
        ({"patience": 0}, "pretrain.patience = 0"),
        ({"warmup": 1}, "pretrain.warmup = 1"),
        ({"optimizer": "sgd", "momentum": 1}, "pretrain.momentum = 1"),
    ],
)
def test_a_recipe_that_cannot_be_is_told(settings, message):
    with pytest.raises(InputError, match=message):
        parse_params({"pretrain": settings}, "params.yaml")
