"""Any module that functional_call can run: as a batch where that works, else one by one."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from tests.unshapley.games import diabetes_game, digits_game, from_masks
from unshapley.curvature.statistics import provider_statistics
from unshapley.errors import InputError
from unshapley.game.measuring import measure
from unshapley.game.utilities import build_utilities
from unshapley.models import batching
from unshapley.models.batching import is_batchable, probe_batching
from unshapley.models.building import build
from unshapley.models.training import stack
from unshapley.unlearning import build_unlearner

SOME = from_masks([1, 3, 5, 6], 3)


class Branching(nn.Module):
    """Looks at a value, which no batch of models can."""

    def __init__(self, in_features: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Linear(in_features, 6)
        self.head = nn.Linear(6, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.body(x / 16))
        return self.head(h if h.sum().item() > -1e9 else -h)


class Hidden(nn.Module):
    """Computes with a tensor that is no parameter of its own."""

    def __init__(self, in_features: int, classes: int) -> None:
        super().__init__()
        self.inner = nn.Linear(in_features, classes)
        self.kept = [self.inner.weight.detach().clone()]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.kept[0].T


@pytest.mark.parametrize("name", ["newton", "finetune", "retrain", "gradient_ascent"])
def test_a_model_that_cannot_be_batched_gives_what_it_gives_one_by_one(name, caplog):
    with caplog.at_level(logging.WARNING):
        game = digits_game(architecture=f"{__name__}:Branching")
    assert not is_batchable(game.pretrained.model)
    assert "Branching cannot run as a batch of models, so coalitions run one by one" in caplog.text
    unlearner = build_unlearner(name)
    whole = measure(game, unlearner, SOME, build_utilities(["neg_log_loss"]))["neg_log_loss"]
    single = [
        measure(game, unlearner, c[None], build_utilities(["neg_log_loss"]))["neg_log_loss"][0]
        for c in SOME
    ]
    np.testing.assert_allclose(whole, single, atol=1e-4)


def test_a_module_whose_weights_cannot_be_handed_in_is_named():
    with pytest.raises(InputError, match=r"cannot run Hidden, module .*does not use the weights"):
        build(f"{__name__}:Hidden", in_features=4, classes=3, kwargs={}, seed=0)


def test_the_failing_module_is_named(caplog):
    model = nn.Sequential(nn.Linear(4, 4), Branching(4, 2))
    with caplog.at_level(logging.WARNING):
        probe_batching(model, torch.zeros(2, 4))
    assert "module 1 (Branching)" in caplog.text


class Tied(nn.Module):
    """One weight under two names."""

    def __init__(self, in_features: int, classes: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(in_features, in_features), nn.Linear(in_features, in_features)
        self.b.weight = self.a.weight
        self.head = nn.Linear(in_features, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.b(self.a(x)))


def test_tied_weights_are_named():
    with pytest.raises(InputError, match="Tied has tied weights: 'a.weight' is 'b.weight'"):
        build(f"{__name__}:Tied", in_features=4, classes=3, kwargs={}, seed=0)


class Looking(nn.Linear):
    """Looks at its rows: models on shared rows are a batch, models on rows of their own are not."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x / 16 if x.abs().max() > 2 else x)


def looking(in_features: int, classes: int) -> nn.Module:
    return Looking(in_features, classes)


def test_a_model_that_looks_at_its_rows_runs_one_by_one():
    game = digits_game(architecture=f"{__name__}:looking")
    assert not is_batchable(game.pretrained.model)
    assert (
        len(
            measure(game, build_unlearner("finetune"), SOME, build_utilities(["accuracy"]))[
                "accuracy"
            ]
        )
        == 4
    )


@pytest.mark.parametrize("name", ["newton", "hybrid", "shrink_finetune", "retrain"])
def test_a_convolutional_model_runs_as_a_batch(name):
    game = digits_game(architecture="unshapley.models:cnn")
    assert is_batchable(game.pretrained.model)
    found = measure(game, build_unlearner(name), SOME, build_utilities(["accuracy"]))["accuracy"]
    assert len(found) == 4


@pytest.mark.parametrize(("convolutions", "batched"), [(True, False), (False, True)])
def test_a_single_model_runs_as_a_batch_only_without_convolutions(
    monkeypatch, convolutions, batched
):
    first = nn.Unflatten(1, (1, 16)), nn.Conv1d(1, 2, 3), nn.Flatten()
    model = nn.Sequential(*(first if convolutions else [nn.LayerNorm(16)]), nn.LazyLinear(3))
    x = torch.rand(5, 16)
    model(x)
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    calls = []
    vmap = batching.vmap
    monkeypatch.setattr(batching, "vmap", lambda *a, **kw: calls.append(a) or vmap(*a, **kw))
    outputs = batching.batched_outputs(model, stack(state, 1), {}, x)
    torch.testing.assert_close(outputs, model(x).detach().unsqueeze(0))
    assert bool(calls) == batched
    batching.batched_outputs(model, stack(state, 2), {}, x)
    assert calls


def test_numbers_are_unlearnt_in_units_of_the_label():
    game = diabetes_game()
    coalitions = from_masks(range(1, 15), 4)
    names = ["neg_mse", "r2"]
    truth = measure(game, build_unlearner("retrain"), coalitions, build_utilities(names))
    everything = measure(game, build_unlearner("no_unlearning"), coalitions, build_utilities(names))
    errors = {
        name: np.abs(
            np.array(truth["neg_mse"])
            - measure(game, build_unlearner(name), coalitions, build_utilities(names))["neg_mse"]
        ).mean()
        for name in ("newton", "newton_finetune")
    }
    nothing = np.abs(np.array(truth["neg_mse"]) - everything["neg_mse"]).mean()
    assert errors["newton"] < 0.8 * nothing
    assert errors["newton_finetune"] < errors["newton"]
    variance = float(
        (
            (game.test_y * game.label_scale).double()
            - (game.test_y * game.label_scale).double().mean()
        )
        .square()
        .mean()
    )
    np.testing.assert_allclose(1 + np.array(truth["neg_mse"]) / variance, truth["r2"], atol=1e-9)


class Detour(torch.autograd.Function):
    """Runs as a batch; its gradient does not."""

    generate_vmap_rule = False

    @staticmethod
    def forward(x):
        return x.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(_, gradient):
        return gradient if gradient.sum().item() > -1e30 else -gradient

    @staticmethod
    def vmap(_, in_dims, x):
        return x.clone(), in_dims[0]


class OneGradientAtATime(nn.Linear):
    """Looks at a value of its gradient."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return Detour.apply(super().forward(x))


def plain(in_features: int, classes: int) -> nn.Module:
    return nn.Linear(in_features, classes)


def one_gradient_at_a_time(in_features: int, classes: int) -> nn.Module:
    return OneGradientAtATime(in_features, classes)


def statistics(pretrained) -> tuple[torch.Tensor, torch.Tensor]:
    names = [name for name, _ in pretrained.model.named_parameters()]
    ends = [name.rpartition(".")[2] for name in names]
    assert ends == ["weight", "bias"]
    rows = pretrained.rows
    return provider_statistics(
        pretrained.model, pretrained.trained, names, None, (rows.x[:40], rows.y[:40])
    )


def test_gradients_that_cannot_be_batched_are_computed_row_by_row(caplog):
    with caplog.at_level(logging.WARNING):
        game = digits_game(architecture=f"{__name__}:one_gradient_at_a_time")
        plain = digits_game(architecture=f"{__name__}:plain")
    assert is_batchable(game.pretrained.model)
    warning = "gradients of OneGradientAtATime cannot be computed for many rows at once"
    assert caplog.text.count(warning) == 1
    mine, theirs = (statistics(g.pretrained) for g in (game, plain))
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
