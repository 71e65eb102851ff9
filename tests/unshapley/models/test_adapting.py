"""Models as people write them: raw features, dropout, batch normalisation."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from unshapley.config import PretrainSettings
from unshapley.errors import InputError
from unshapley.models.batches import FullBatch
from unshapley.models.building import build
from unshapley.models.fitting import fit
from unshapley.models.training import stack, train


def plain(in_features: int, classes: int, layer: str = "Tanh", **kwargs) -> nn.Module:
    kind = getattr(nn, layer, None) or globals()[layer]
    return nn.Sequential(nn.Linear(in_features, 16), kind(**kwargs), nn.Linear(16, classes))


class Noisy(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.dropout(x, 0.5, self.training)


def make(**kwargs) -> nn.Module:
    return build(f"{__name__}:plain", in_features=4, classes=3, kwargs=kwargs, seed=0)


def some_rows(count: int, features: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, features, generator=generator), torch.arange(count) % classes


def test_a_model_of_raw_features_has_them_standardised():
    """Columns of very different sizes: without it, the largest would be all that the model sees."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 4, generator=generator)
    y = (x[:, 0] > 0).long()
    x = x * torch.tensor([0.01, 1.0, 100.0, 10_000.0]) + torch.tensor([5.0, 0.0, 0.0, 70_000.0])
    recipe = PretrainSettings(architecture=f"{__name__}:plain", steps=100)
    fitted = fit(recipe, {"a": (x, y)}, (x[:50], y[:50]), outputs=2)
    assert (fitted.model(x).argmax(dim=1) == y).float().mean() > 0.95
    torch.testing.assert_close(fitted.trained["mean"], x[:50].mean(dim=0))


def test_dropout_is_active_in_training_and_decided_by_the_seed():
    model = make(layer="Dropout", p=0.5)
    x, y = some_rows(40, 4, 3)
    args = (
        stack(dict(model.state_dict()), 1),
        FullBatch.weighted(x[None], y[None], torch.ones(1, 40)),
    )
    options = {"steps": 5, "learning_rate": 0.05, "weight_decay": 0.0}
    first, again = (train(model, *args, **options) for _ in range(2))
    other = train(model, *args, **options, seed=1)
    name = "wrapped.0.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.allclose(first[name], other[name])
    assert not model.training
    assert torch.equal(model(x), model(x))


def test_a_coalitions_dropout_does_not_depend_on_its_batch():
    model = make(layer="Dropout", p=0.3)
    x, y = some_rows(40, 4, 3)
    options = {"steps": 5, "learning_rate": 0.05, "weight_decay": 0.0}
    start = dict(model.state_dict())
    own = FullBatch.weighted(x[None, :30], y[None, :30], torch.ones(1, 30))
    alone = train(model, stack(start, 1), own, **options)
    weights = torch.ones(2, 40)
    weights[0, 30:] = 0
    padded = FullBatch.weighted(torch.stack([x, x]), torch.stack([y, y]), weights)
    both = train(model, stack(start, 2), padded, **options)
    for key, tensor in alone.items():
        torch.testing.assert_close(both[key][0], tensor[0], rtol=1e-4, atol=1e-5)


def test_a_look_at_the_reference_set_has_no_noise_and_leaves_that_of_training():
    rows = some_rows(40, 4, 3)
    kwargs = {"layer": "Dropout", "p": 0.5}
    recipe = PretrainSettings(architecture=f"{__name__}:plain", kwargs=kwargs, steps=12, patience=9)
    looked = fit(recipe, {"a": rows}, rows, outputs=3)
    assert looked.steps > 1
    plain_recipe = recipe.model_copy(update={"steps": looked.steps, "patience": None})
    shorter = fit(plain_recipe, {"a": rows}, rows, outputs=3)
    for name, tensor in shorter.trained.items():
        assert torch.equal(looked.trained[name], tensor)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"layer": "BatchNorm1d", "num_features": 16},
            r"layer 1 \(BatchNorm1d\).*\n.*\n.*LayerNorm",
        ),
        ({"layer": "Noisy"}, "Sequential draws random numbers"),
        ({"layer": "RReLU"}, "Sequential draws random numbers"),
    ],
)
def test_layers_that_train_otherwise_than_meant_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        make(**options)


def test_layer_norm_needs_nothing():
    assert make(layer="LayerNorm", normalized_shape=16)(torch.zeros(2, 4)).isfinite().all()
