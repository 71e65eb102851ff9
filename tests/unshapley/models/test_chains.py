"""Chains of linear layers: the same outputs and gradients as torch's own way through the model."""

from itertools import count

import pytest
import torch
from torch import nn
from torch.func import functional_call, vmap

from unshapley.models import mlp
from unshapley.models.adapting import standardised
from unshapley.models.architectures import MLP
from unshapley.models.batches import FullBatch
from unshapley.models.batching import State, batched_outputs
from unshapley.models.chain_gradients import ChainGradients
from unshapley.models.chains import chain_of
from unshapley.models.losses import row_loss
from unshapley.models.training import train

FEATURES, CLASSES, ROWS, MODELS = 5, 3, 11, 4


def sequential(outputs: int = CLASSES) -> nn.Module:
    layers = [nn.Linear(FEATURES, 6), nn.ReLU(), nn.Linear(6, 7, bias=False), nn.Sigmoid()]
    return standardised(nn.Sequential(*layers, nn.Linear(7, outputs), nn.Identity()), FEATURES)


def two_layers() -> nn.Module:
    model = mlp(FEATURES, CLASSES, hidden=(6, 4))
    model.standardise(3 + 2 * torch.randn(20, FEATURES))  # type: ignore[operator]
    return model


CHAINS = {"mlp": two_layers, "sequential": sequential, "numeric": lambda: sequential(1)}


def models_of(model: nn.Module, varied: tuple[str, ...] = ("",)) -> tuple[State, State]:
    """Random weights of several models under the names that begin with any of `varied`."""
    state = {name: tensor.detach() for name, tensor in model.double().state_dict().items()}
    parameters = dict(model.named_parameters())
    theta = {
        name: torch.randn(MODELS, *tensor.shape, dtype=tensor.dtype)
        for name, tensor in state.items()
        if name in parameters and name.startswith(varied)
    }
    return theta, {name: tensor for name, tensor in state.items() if name not in theta}


def by_torch(model: nn.Module, theta: State, shared: State, x: torch.Tensor) -> torch.Tensor:
    def outputs(theta: State, x: torch.Tensor) -> torch.Tensor:
        return functional_call(model, {**shared, **theta}, (x,))  # type: ignore[no-any-return]

    return vmap(outputs, in_dims=(0, 0 if x.dim() == 3 else None))(theta, x)


@pytest.mark.parametrize("kind", CHAINS)
@pytest.mark.parametrize("last_only", [False, True])
@pytest.mark.parametrize("own_rows", [False, True])
def test_a_chain_has_the_outputs_that_torch_gives(
    kind: str, last_only: bool, own_rows: bool
) -> None:
    model = CHAINS[kind]()
    last = chain_of(model).layers[-1].weight.removesuffix(".weight")  # type: ignore[union-attr]
    theta, shared = models_of(model, (last,) if last_only else ("",))
    x = torch.randn(*([MODELS] if own_rows else []), ROWS, FEATURES, dtype=torch.float64)
    outputs = batched_outputs(model, theta, shared, x, 0 if own_rows else None)
    torch.testing.assert_close(outputs, by_torch(model, theta, shared, x))


@pytest.mark.parametrize("kind", CHAINS)
def test_gradients_by_hand_are_those_of_torch(kind: str) -> None:
    model = CHAINS[kind]()
    theta, shared = models_of(model)
    x = torch.randn(MODELS, ROWS, FEATURES, dtype=torch.float64)
    y = torch.randint(CLASSES, (MODELS, ROWS)) if kind != "numeric" else x.sum(dim=2)
    weights = torch.rand(MODELS, ROWS, dtype=torch.float64)
    weights[1, 4:] = 0
    weights[2] = 0
    batch = FullBatch.weighted(x, y, weights)
    for tensor in theta.values():
        tensor.requires_grad_()
    loss = (batch(0)[2] * row_loss(by_torch(model, theta, shared, x), y)).sum()
    expected = dict(zip(theta, torch.autograd.grad(loss, list(theta.values())), strict=True))
    for tensor in theta.values():
        tensor.grad = torch.full_like(tensor, torch.nan)
    ChainGradients(chain_of(model), batch)(theta, shared)  # type: ignore[arg-type]
    for name, tensor in theta.items():
        torch.testing.assert_close(tensor.grad, expected[name])


def test_models_that_train_in_parts_are_those_that_train_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = two_layers()
    theta, shared = models_of(model)
    start = {**theta, **{n: t.expand(MODELS, *t.shape) for n, t in shared.items()}}
    x = torch.randn(MODELS, ROWS, FEATURES, dtype=torch.float64)
    y = torch.randint(CLASSES, (MODELS, ROWS))
    weights = (torch.arange(ROWS) < torch.tensor([[9], [2], [11], [0]])).double()
    length = torch.tensor([1.0, 0.5, 0.0, 1.0])

    def trained(cache: int) -> State:
        monkeypatch.setattr("unshapley.models.training.CACHE", cache)
        rows = FullBatch.weighted(x, y, weights)
        return train(
            model, start, rows, steps=4, learning_rate=0.1, weight_decay=0.1, length=length
        )

    parts, whole = trained(1), trained(2**30)
    for name, tensor in parts.items():
        torch.testing.assert_close(tensor, whole[name])
        assert torch.equal(tensor[2], start[name][2])  # steps of length 0
        assert not torch.equal(tensor[3], start[name][3])  # without rows, the penalty remains


class Doubled(MLP):
    """Not the chain that it is derived from."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Linear(FEATURES, 4), nn.Tanh(), nn.Linear(4, CLASSES))
    calls = count()
    model[0].register_forward_hook(lambda *_: next(calls) and None)
    return model


OTHERS = {
    "derived": lambda: Doubled(FEATURES, (4,), CLASSES),
    "hooked": hooked,
    "normalised": lambda: nn.Sequential(nn.Linear(FEATURES, 4), nn.LayerNorm(4), nn.Linear(4, 3)),
    "activation last": lambda: nn.Sequential(nn.Linear(FEATURES, CLASSES), nn.Tanh()),
    "dropout": lambda: nn.Sequential(nn.Linear(FEATURES, 4), nn.Dropout(), nn.Linear(4, CLASSES)),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_any_other_model_is_no_chain(kind: str) -> None:
    assert chain_of(OTHERS[kind]()) is None
