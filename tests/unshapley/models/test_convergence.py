"""The gradient at the trained weights beside its sampling noise."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from tests.unshapley.games import diabetes_game, digits_game
from unshapley.models import training
from unshapley.models.convergence import Convergence, convergence_of
from unshapley.models.pretrained import Pretrained
from unshapley.models.training_rows import TrainingRows


def row_gradients(pretrained: Pretrained) -> torch.Tensor:
    """`(rows, weights)`, by one call for each row."""
    model, rows = pretrained.model, pretrained.rows
    found = []
    for x, y in zip(rows.x, rows.y, strict=True):
        model.zero_grad()
        functional.cross_entropy(model(x[None]), y[None]).backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    return torch.stack(found).double()


def test_gradient_and_noise_are_those_of_the_rows():
    pretrained = digits_game(steps=30, hidden=[4], weight_decay=0.2).pretrained
    found = convergence_of(pretrained)
    of_rows = row_gradients(pretrained)
    theta = torch.cat([p.detach().flatten() for p in pretrained.model.parameters()]).double()
    slope = of_rows.mean(dim=0) + 0.2 * theta
    assert found.gradient == pytest.approx(float(slope.norm()), rel=1e-4)
    noise = math.sqrt(float(of_rows.var(dim=0).sum()) / len(of_rows))
    assert found.noise == pytest.approx(noise, rel=0.1)
    assert found.ratio == found.gradient / found.noise


def test_rows_in_blocks_have_the_same_gradient(monkeypatch):
    pretrained = digits_game().pretrained
    whole = convergence_of(pretrained)
    monkeypatch.setattr(training, "LARGEST_ACTIVATION", 2 * 4 * 10)
    blocks = convergence_of(pretrained)
    assert blocks.gradient == pytest.approx(whole.gradient, rel=1e-4)
    assert blocks.noise == pytest.approx(whole.noise, rel=1e-4)


def test_it_falls_below_one_as_training_goes_on():
    early, late = (convergence_of(digits_game(steps=steps).pretrained) for steps in (10, 300))
    assert early.ratio > 1
    assert late.ratio < 0.5
    assert "ended before an optimum" in early.sentence()
    assert "ended at an optimum" in late.sentence()


def test_where_a_penalty_holds_the_weights_it_is_part_of_the_gradient():
    pretrained = diabetes_game(steps=2000).pretrained
    recipe = pretrained.recipe.model_copy(update={"weight_decay": 0.0})
    with_penalty = convergence_of(pretrained)
    without = convergence_of(replace(pretrained, recipe=recipe))
    assert with_penalty.gradient < 0.1 * without.gradient
    assert with_penalty.noise == without.noise


def test_few_or_equal_rows():
    pretrained = digits_game(steps=2).pretrained
    rows = pretrained.rows
    one = TrainingRows(rows.x[:1], rows.y[:1], rows.owner[:1])
    assert convergence_of(replace(pretrained, rows=one)) is None
    two = TrainingRows(rows.x[:2], rows.y[:2], rows.owner[:2])
    assert convergence_of(replace(pretrained, rows=two)).noise > 0
    assert Convergence(gradient=0.1, noise=0).ratio == math.inf
    assert Convergence(gradient=0, noise=0).ratio == 0
