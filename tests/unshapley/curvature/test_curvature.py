"""Curvature statistics against automatic differentiation, their additivity, and their artefact."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, hessian, jacrev

from unshapley.config import CurvatureSettings as Settings
from unshapley.config import PretrainSettings
from unshapley.curvature.eigenbasis import fit_layers, layers_of, leading_directions
from unshapley.curvature.statistics import (
    leading,
    make_basis,
    orthonormal,
    provider_statistics,
    with_statistics,
)
from unshapley.curvature.store import CurvatureRecord, add_providers, load_basis, load_curvature
from unshapley.data.tables import Schema
from unshapley.errors import InputError
from unshapley.models.building import build
from unshapley.models.fitting import fit
from unshapley.models.losses import row_loss
from unshapley.models.pretrained import flat
from unshapley.models.rows import read_rows
from unshapley.unlearning import build_unlearner


def small(classes: int = 3) -> torch.nn.Module:
    kwargs = {"hidden": [4]}
    return build("unshapley.models:mlp", in_features=4, classes=classes, kwargs=kwargs, seed=0)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_last_layer_statistics_are_the_exact_derivatives(task):
    torch.manual_seed(0)
    model = small(3 if task == "classification" else 1).double()
    state = dict(model.state_dict())
    names = ["head.weight", "head.bias"]
    x = torch.randn(9, 4).double()
    y = torch.randint(0, 3, (9,)) if task == "classification" else torch.randn(9).double()
    gradient, matrix = provider_statistics(model, state, names, None, (x, y))

    def loss(vector):
        weight, bias = vector[: state[names[0]].numel()], vector[state[names[0]].numel() :]
        moved = {names[0]: weight.view_as(state[names[0]]), names[1]: bias}
        return row_loss(functional_call(model, {**state, **moved}, (x,)), y).sum()

    theta = flat(state, names)
    torch.testing.assert_close(gradient, jacrev(loss)(theta))
    torch.testing.assert_close(matrix, hessian(loss)(theta))


def test_the_basis_holds_the_directions_of_most_curvature():
    torch.manual_seed(0)
    model = small()
    state = dict(model.state_dict())
    names = [name for name, _ in model.named_parameters()]
    rows = {p: (torch.randn(40, 4), torch.randint(0, 3, (40,))) for p in "ab"}
    initial = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    basis = make_basis(model, state, initial, names, 12, rows)
    torch.testing.assert_close(basis.T @ basis, torch.eye(15), atol=1e-5, rtol=0)
    matrix = sum(provider_statistics(model, state, names, None, r)[1] for r in rows.values())
    leading = torch.linalg.eigvalsh(matrix)[-12:].sum()
    kept = torch.trace(basis.double().T @ matrix @ basis.double())
    assert kept >= 0.9 * leading  # the eigenvectors of a matrix of 87 weights need not factorise
    way = flat(state, names)
    torch.testing.assert_close(basis @ (basis.T @ way), way, atol=1e-4, rtol=1e-4)
    assert make_basis(model, state, initial, names, 100, rows) is None


class Mixed(nn.Module):
    """A convolution, a normalisation, a layer that is used twice and a head without bias."""

    standardise = None

    def __init__(self, in_features: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 2, padding=1, stride=2)
        self.norm = nn.LayerNorm(12)
        self.twice = nn.Linear(12, 12)
        self.head = nn.Linear(12, classes, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(torch.tanh(self.conv(x.view(-1, 1, 3, 3))).flatten(1))
        return self.head(torch.tanh(self.twice(torch.tanh(self.twice(x)))))


def test_curvature_along_the_directions_is_that_of_the_loss():
    """Layers by their eigenvectors, everything else weight by weight."""
    torch.manual_seed(0)
    model = build(f"{__name__}:Mixed", in_features=9, classes=3, kwargs={}, seed=0)
    state = {n: t.detach() for n, t in model.state_dict().items()}
    names = [name for name, _ in model.named_parameters()]
    rows = (torch.randn(30, 9), torch.randint(0, 3, (30,)))
    layers = layers_of(model, state, names, rows[0])
    assert [layer.name for layer in layers] == ["conv", "head"]
    fit_layers(model, state, layers, [rows], lambda _: None)
    matrix = provider_statistics(model, state, names, None, rows)[1]
    size = sum(layer.curvature.numel() for layer in layers)
    basis = leading_directions(layers, {}, names, state, size).double()
    torch.testing.assert_close(basis.T @ basis, torch.eye(size).double(), atol=1e-4, rtol=0)
    along = (basis.T @ matrix @ basis).diagonal()
    known = torch.cat([layer.curvature.flatten() for layer in layers]).sort(descending=True).values
    torch.testing.assert_close(along, known.double(), rtol=1e-3, atol=1e-4)
    whole = make_basis(model, state, state, names, 60, {"a": rows})
    torch.testing.assert_close(whole.T @ whole, torch.eye(62), atol=1e-4, rtol=0)


def test_of_many_gradients_the_basis_holds_the_principal_directions():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(30, 3, generator=generator) @ torch.randn(3, 50, generator=generator)
    few = leading(rows, 5)
    assert few.shape == (5, 50)
    basis = orthonormal(few[:3].T)
    torch.testing.assert_close(basis @ (basis.T @ rows.T), rows.T, rtol=1e-4, atol=1e-4)
    assert leading(rows, 30) is rows


def test_statistics_add_up_over_providers_and_do_not_depend_on_row_order(inputs):
    pretrained = inputs.pretrained
    curvature, rows = pretrained.curvature, pretrained.rows
    order = torch.randperm(len(rows.y), generator=torch.Generator().manual_seed(0))
    gradient, matrix = provider_statistics(
        pretrained.model,
        pretrained.trained,
        curvature.parameters,
        curvature.basis,
        (rows.x[order], rows.y[order]),
    )
    torch.testing.assert_close(matrix, curvature.hessian.sum(dim=0), atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(gradient, curvature.gradient.sum(dim=0), atol=1e-3, rtol=1e-5)
    assert curvature.rows.sum() == len(rows.y)


class Linear(torch.nn.Linear):
    """Least squares is quadratic: Newton's step is exact."""

    standardise = None


def linear(in_features: int, classes: int) -> torch.nn.Module:
    return Linear(in_features, classes)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), decay=st.sampled_from([0.01, 0.1, 1.0]))
def test_newton_on_a_quadratic_loss_is_retraining(seed, decay):
    generator = torch.Generator().manual_seed(seed)
    parts = {
        p: (torch.randn(12, 3, generator=generator), torch.randn(12, generator=generator))
        for p in "abcd"
    }
    recipe = PretrainSettings(
        architecture="tests.unshapley.curvature.test_curvature:linear", steps=1, weight_decay=decay
    )
    pretrained = fit(recipe, parts, parts["a"], outputs=1)

    def optimum(players: str) -> torch.Tensor:
        x = torch.cat([parts[p][0] for p in players]).double()
        y = torch.cat([parts[p][1] for p in players]).double()
        x = torch.cat([x, torch.ones(len(x), 1)], dim=1)
        return torch.linalg.solve(x.T @ x + len(x) * decay * torch.eye(4), x.T @ y)

    best = optimum("abcd").float()
    pretrained.trained.update(weight=best[:3].unsqueeze(0), bias=best[3:])
    pretrained.model.load_state_dict(pretrained.trained)
    pretrained = with_statistics(pretrained, parts, Settings())
    newton = build_unlearner("newton", {"damping": 0, "proximal": 0})
    staying = torch.tensor([[True, False, True, True], [False, True, False, True]])
    moved = newton(pretrained, staying)
    for row, players in enumerate(("acd", "bd")):
        found = torch.cat([moved["weight"][row, 0], moved["bias"][row]])
        torch.testing.assert_close(found, optimum(players).float(), atol=1e-5, rtol=1e-5)


def test_a_provider_makes_its_own_statistics_from_its_rows_alone(project, inputs):
    """What pretraining wrote for it, from model, basis and its partition, is what it makes."""
    folder, record = project.curvature, CurvatureRecord.load(project.curvature)
    left = record.model_copy(
        update={"providers": {p: e for p, e in record.providers.items() if p != "form-02"}}
    )
    rows = read_rows(project, Schema.load(project.schema), "form-02")
    entry = record.providers["form-02"]
    added = add_providers(
        folder,
        left,
        inputs.pretrained.model,
        inputs.pretrained.trained,
        load_basis(folder, record),
        {"form-02": (rows, entry.partition)},
    )
    assert added.providers["form-02"].partition == entry.partition
    hashes = inputs.record.partitions
    again, _ = load_curvature(folder, inputs.record.files["checkpoint.safetensors"], hashes)
    torch.testing.assert_close(
        again.hessian, inputs.pretrained.curvature.hessian, atol=1e-4, rtol=0
    )
    torch.testing.assert_close(
        again.gradient, inputs.pretrained.curvature.gradient, atol=1e-4, rtol=0
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"checkpoint": "0" * 64}, "belong to another model: checkpoint SHA-256 000000000000"),
        ({"partition": "1" * 64}, "'form-02' belong to other rows: partition SHA-256 111111111111"),
        ({"file": "2" * 64}, "is not the recorded file"),
        ({"missing": True}, "no curvature statistics of provider 'form-02'(?s:.*)--provider"),
    ],
)
def test_statistics_of_another_model_or_other_rows_are_refused(project, inputs, change, message):
    record = CurvatureRecord.load(project.curvature)
    providers = dict(record.providers)
    if "missing" in change:
        providers.pop("form-02")
    elif "checkpoint" not in change:
        providers["form-02"] = providers["form-02"].model_copy(update=change)
    top = {"checkpoint": change["checkpoint"]} if "checkpoint" in change else {}
    record.model_copy(update={**top, "providers": providers}).save(project.curvature)
    with pytest.raises(InputError, match=message):
        load_curvature(
            project.curvature,
            inputs.record.files["checkpoint.safetensors"],
            inputs.record.partitions,
        )
