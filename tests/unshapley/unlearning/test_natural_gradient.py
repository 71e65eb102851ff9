"""Natural-gradient steps go to the minimum of the retained loss, and never up."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.unshapley.games import diabetes_game, digits_game
from unshapley.config import CurvatureSettings
from unshapley.curvature.statistics import with_statistics
from unshapley.game.measuring import measure, unlearn
from unshapley.game.utilities import build_utilities
from unshapley.unlearning.natural_gradient import NaturalGradientUnlearner, _retained_loss
from unshapley.unlearning.newton import NewtonUnlearner
from unshapley.unlearning.retrain import RetrainUnlearner

N = 7
ALONE = np.eye(N, dtype=bool)
PLAN = np.vstack([ALONE[:3], ~ALONE[:3]])


def utilities(game, unlearner, name="neg_log_loss"):
    return np.array(measure(game, unlearner, PLAN, build_utilities([name]))[name])


def convex(directions):
    """Multinomial regression, converged, with so many directions of statistics."""
    game = digits_game(N, hidden=(), steps=3000, learning_rate=0.02, weight_decay=0.05)
    rows = game.pretrained.rows
    parts = {f"p{i}": (rows.x[rows.owner == i], rows.y[rows.owner == i]) for i in range(N)}
    pretrained = with_statistics(game.pretrained, parts, CurvatureSettings(directions=directions))
    return replace(game, pretrained=replace(pretrained, test=game.pretrained.test))


def test_where_the_loss_is_convex_it_is_retraining():
    """Also where a single provider of seven stays, for which one Newton step is far off."""
    game = convex(directions=1000)
    true = utilities(game, RetrainUnlearner())
    found = utilities(game, NaturalGradientUnlearner(steps=12))
    np.testing.assert_allclose(found, true, atol=3e-4)  # Adam ends a little above the minimum
    assert np.abs(utilities(game, NewtonUnlearner()) - true).max() > 0.01


@pytest.mark.parametrize("make", [digits_game, diabetes_game])
def test_every_step_lowers_the_loss_of_the_retained_rows(make):
    game = make(N, steps=60)
    pretrained, staying = game.pretrained, game.staying(PLAN)
    unlearner = NaturalGradientUnlearner()
    loss = _retained_loss(unlearner, pretrained, pretrained.curvature, staying)
    names = pretrained.curvature.parameters
    values = []
    for steps in (1, 2, 4, 8):
        state = unlearn(game, NaturalGradientUnlearner(steps=steps), PLAN)
        theta = torch.cat([state[name].flatten(1) for name in names], dim=1)
        with torch.no_grad():
            values.append(loss.value(theta).numpy())
    assert (np.diff(values, axis=0) <= 1e-3 * np.abs(values[:-1])).all()
    assert (values[-1] < values[0]).any()


def test_a_basis_of_few_directions_is_enough_to_begin_with():
    """What the stored matrices do not cover is followed by the rest of the gradient."""
    game = convex(directions=2)
    true = utilities(game, RetrainUnlearner())
    few, many = (utilities(game, NaturalGradientUnlearner(steps=steps)) for steps in (1, 12))
    assert np.abs(many - true).max() < 0.2 * np.abs(few - true).max()
