"""Unlearners that push forgotten rows away, and those that start early or solve the last layer."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from tests.unshapley.games import from_masks, text_game
from unshapley.config import CurvatureSettings, PretrainSettings
from unshapley.curvature.statistics import with_statistics
from unshapley.errors import InputError
from unshapley.game.coalitions import chunks
from unshapley.game.game import Game
from unshapley.game.measuring import measure, measure_endpoints, unlearn
from unshapley.game.utilities import build_utilities
from unshapley.models.fitting import fit
from unshapley.models.layers import output_layer
from unshapley.models.losses import row_loss
from unshapley.models.training_rows import TrainingRows
from unshapley.unlearning import UNLEARNERS, build_unlearner
from unshapley.unlearning.ascent import held_out_loss, shares
from unshapley.unlearning.random_label import other_labels

ASCENT = ["gradient_ascent", "npo", "simnpo"]
RETAIN_FREE = [*ASCENT, "task_vector", "ridge_head"]
RETAIN_BASED = ["rewind_finetune", "neggrad_plus", "scrub", "random_label"]
ALL = from_masks(range(32), 5)
MOST = from_masks([15, 27, 11, 31], 5)
"""One, one, two and none forgotten."""


def make_game(task: str) -> Game:
    """Five providers of digits with 12, 24, … rows, which the model learns almost by heart."""
    data = load_digits()
    x = torch.from_numpy(data.data.astype("float32"))
    y = torch.from_numpy(data.target)
    if task == "regression":
        y = ((x[:, 20:44].mean(dim=1) - 5) / 2 + torch.sin(y.float())).float()
    cuts = [0, 12, 36, 72, 120, 180]
    parts = {f"p{i}": (x[a:b], y[a:b]) for i, (a, b) in enumerate(pairwise(cuts))}
    recipe = PretrainSettings(
        steps=150, learning_rate=0.02, weight_decay=0.002, kwargs={"hidden": [8]}
    )
    outputs = 1 if task == "regression" else 10
    pretrained = fit(recipe, parts, (x[200:300], y[200:300]), outputs=outputs)
    pretrained = with_statistics(pretrained, parts, CurvatureSettings(layers="last"))
    pretrained = replace(pretrained, test=(x[300:500], y[300:500]))
    return Game(tuple(parts), tuple(parts), pretrained, x[300:500], y[300:500])


@pytest.fixture(scope="module", params=["classification", "regression"])
def game(request: pytest.FixtureRequest) -> Game:
    return make_game(request.param)


@pytest.fixture(scope="module")
def digits() -> Game:
    return make_game("classification")


def utility(game: Game, unlearner, coalitions) -> np.ndarray:
    name = "neg_mse" if game.task == "regression" else "neg_log_loss"
    return np.array(measure(game, unlearner, coalitions, build_utilities([name]))[name])


def forget_loss(game: Game, state, coalitions) -> torch.Tensor:
    """Mean loss on its forgotten rows of each model `(m,)`."""
    rows = game.pretrained.rows
    staying = game.staying(coalitions)
    outputs, _ = replace(game, test_x=rows.x, test_y=rows.y).outputs(state)
    return (shares(rows, ~staying) * row_loss(outputs.float(), rows.y)).sum(dim=1)


def only(game: Game, providers: list[int]) -> Game:
    """The game with the rows of all other providers out of reach."""
    rows = game.pretrained.rows
    there = torch.isin(rows.owner, torch.tensor(providers, dtype=torch.long))
    kept = TrainingRows(rows.x[there], rows.y[there], rows.owner[there])
    return replace(game, pretrained=replace(game.pretrained, rows=kept))


@pytest.mark.parametrize("name", [*RETAIN_FREE, *RETAIN_BASED])
def test_results_do_not_depend_on_the_chunking(game, name):
    unlearner = build_unlearner(name)
    whole = utility(game, unlearner, ALL)
    assert np.ptp(whole) > 1e-3
    for size in (1, 7):
        parts = np.concatenate([utility(game, unlearner, c) for c in chunks(ALL[::-1], size)])
        np.testing.assert_allclose(parts[::-1], whole, atol=1e-4)


@pytest.mark.parametrize("name", RETAIN_FREE)
def test_forgetting_nobody_gives_the_pretrained_model(game, name):
    for pretrained in (game, only(game, [])):
        state = unlearn(pretrained, build_unlearner(name), MOST[3:])
        for key, tensor in state.items():
            assert (tensor[0] - game.pretrained.trained[key]).abs().max() < 1e-6


@pytest.mark.parametrize("name", RETAIN_FREE)
def test_retained_rows_are_not_touched(game, name):
    """The first three forget at most providers 2 and 4."""
    unlearner = build_unlearner(name)
    whole = unlearn(game, unlearner, MOST)
    forgotten = np.flatnonzero(~MOST.all(axis=0)).tolist()
    assert 0 < len(forgotten) < 5
    for key, tensor in unlearn(only(game, forgotten), unlearner, MOST).items():
        torch.testing.assert_close(tensor, whole[key], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ASCENT)
def test_forgotten_rows_out_of_reach_are_named(digits, name):
    with pytest.raises(InputError, match=f"{name} needs .* is forgotten, and those of 1 of 5"):
        unlearn(only(digits, [0, 1, 2, 3]), build_unlearner(name), MOST)


def test_a_task_vector_vanishes_with_the_share_that_is_forgotten(digits):
    """The rows are the same, but belong to a provider with ever less of all rows."""
    moved = []
    for others in (1, 10, 100):
        counts = digits.pretrained.counts * torch.tensor([1, others, others, others, others])
        of = replace(digits, pretrained=replace(digits.pretrained, counts=counts))
        state = unlearn(of, build_unlearner("task_vector"), ~np.eye(5, dtype=bool)[:1])
        gaps = [t[0] - digits.pretrained.trained[name] for name, t in state.items()]
        share = counts[0] / counts.sum()
        moved.append(float(torch.cat([gap.flatten() for gap in gaps]).norm() / share))
    assert moved[0] > 0
    assert moved == pytest.approx([moved[0]] * 3, rel=1e-3)


def test_a_task_vector_forgets_text():
    game = text_game()
    rows, forgotten = game.pretrained.rows, ~np.eye(4, dtype=bool)
    utilities = build_utilities(["log_likelihood"], "language-model")
    unlearner = build_unlearner("task_vector", {"part": 0.3, "scale": 3.0})
    for i in range(4):
        own = rows.owner == i
        judged = replace(game, test_x=rows.x[own], test_y=rows.y[own])
        found = measure(judged, unlearner, forgotten, utilities)["log_likelihood"]
        before = measure_endpoints(judged, unlearner, utilities).primary_utilities[1]
        assert found[i] < before - 0.5
    state = unlearn(game, unlearner, np.ones((1, 4), dtype=bool))
    for name, tensor in state.items():
        assert torch.equal(tensor[0], game.pretrained.trained[name])


@pytest.mark.parametrize("name", ["neggrad_plus", "scrub", "random_label"])
def test_forgotten_rows_are_needed_beside_retained_ones(digits, name):
    with pytest.raises(InputError, match=f"{name} needs .* takes part"):
        unlearn(only(digits, [0, 1]), build_unlearner(name), MOST[:1])


@pytest.mark.parametrize("name", ASCENT)
def test_ascent_stops_at_the_held_out_loss(game, name):
    level = held_out_loss(game.pretrained)
    before = forget_loss(game, unlearn(game, build_unlearner("no_unlearning"), ALL[:-1]), ALL[:-1])
    assert (before < 0.5 * level).all()
    for rate in (0.005, 0.05):
        unlearner = build_unlearner(name, {"steps": 300, "kl": 0, "learning_rate": rate})
        after = forget_loss(game, unlearn(game, unlearner, ALL[:-1]), ALL[:-1])
        assert (after <= 1.1 * level).all()
        assert (after >= 0.9 * level).all() or rate == 0.05


@pytest.mark.parametrize("name", ASCENT)
def test_what_is_above_the_held_out_loss_from_the_start_moves_no_model(digits, name):
    x, _ = digits.pretrained.reference
    likely = digits.pretrained.model(x).argmax(dim=1)
    easy = replace(digits, pretrained=replace(digits.pretrained, reference=(x, likely)))
    hard = replace(easy.pretrained.rows, y=(easy.pretrained.rows.y + 1) % 10)
    easy = replace(easy, pretrained=replace(easy.pretrained, rows=hard))
    for key, tensor in unlearn(easy, build_unlearner(name), MOST).items():
        assert torch.equal(tensor, digits.pretrained.trained[key].expand_as(tensor))


def test_the_push_of_neggrad_ends_at_the_held_out_loss(game):
    level = held_out_loss(game.pretrained)
    coalitions = MOST[:3]
    options = {"beta": 0.1, "steps": 100}
    pushed = forget_loss(
        game, unlearn(game, build_unlearner("neggrad_plus", options), coalitions), coalitions
    )
    assert (pushed < 1.5 * level).all()
    plain = build_unlearner("neggrad_plus", {"beta": 1.0})
    finetune = unlearn(game, build_unlearner("finetune"), coalitions)
    for key, tensor in unlearn(game, plain, coalitions).items():
        torch.testing.assert_close(tensor, finetune[key], atol=1e-4, rtol=0)


def test_scrub_disobeys_only_on_forgotten_rows(game):
    coalitions = MOST[:3]

    def loss(options) -> torch.Tensor:
        return forget_loss(
            game, unlearn(game, build_unlearner("scrub", options), coalitions), coalitions
        )

    assert (loss({"max_steps": 8}) > loss({"max_steps": 0})).all()
    obedient = build_unlearner("scrub", {"max_steps": 0, "alpha": 0})
    finetune = unlearn(game, build_unlearner("finetune"), coalitions)
    for key, tensor in unlearn(game, obedient, coalitions).items():
        torch.testing.assert_close(tensor, finetune[key], atol=1e-4, rtol=0)


def test_regularising_on_the_test_set_warns_that_it_leaks(digits, caplog):
    leaky = build_unlearner("gradient_ascent", {"regulariser": "test"})
    with caplog.at_level("WARNING", "unshapley.unlearning"):
        found = utility(digits, leaky, MOST)
    assert [r.getMessage().count("leaks") for r in caplog.records] == [1]
    assert not np.allclose(found, utility(digits, build_unlearner("gradient_ascent"), MOST))
    no_test = replace(digits, pretrained=replace(digits.pretrained, test=None))
    with pytest.raises(InputError, match="there is none"):
        unlearn(no_test, leaky, MOST)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_random_label_moves_only_the_salient_weights(game, share):
    state = unlearn(game, build_unlearner("random_label", {"saliency": share}), MOST)
    moved = torch.cat(
        [(t != game.pretrained.trained[n]).flatten(1) for n, t in state.items()], dim=1
    )
    ratio = moved.float().mean(dim=1)
    assert (ratio[:3] > 0.9 * share).all()
    assert (ratio <= share + 1e-3).all()
    assert ratio[3] == 0  # nothing forgotten, nothing salient


def test_random_labels_are_other_labels(game):
    y = game.pretrained.rows.y
    other = other_labels(y, 0)
    assert torch.isin(other, y).all()
    assert (other != y).float().mean() > 0.95
    assert torch.equal(other, other_labels(y, 0))
    assert not torch.equal(other, other_labels(y, 1))


def test_ridge_head_is_ridge_regression_of_the_last_layer():
    """On a head that is the ridge solution of all rows, it is that of the retained rows."""
    game = make_game("regression")
    pretrained, ridge = game.pretrained, 0.05
    rows = pretrained.rows
    layer, h = output_layer(pretrained.model, rows.x)
    h = np.hstack([h.double().numpy(), np.ones((len(h), 1))])
    t = rows.y.double().numpy()

    def solve(keep) -> np.ndarray:
        a, b = h[keep], t[keep]
        pull = np.sqrt(ridge * keep.sum()) * np.eye(h.shape[1])
        return np.linalg.lstsq(
            np.vstack([a, pull]), np.append(b, np.zeros(h.shape[1])), rcond=None
        )[0]

    everybody = torch.from_numpy(solve(np.ones(len(t), dtype=bool))).float()
    trained = {
        **pretrained.trained,
        f"{layer}.weight": everybody[None, :-1],
        f"{layer}.bias": everybody[-1:],
    }
    game = replace(game, pretrained=replace(pretrained, trained=trained))
    state = unlearn(game, build_unlearner("ridge_head", {"ridge": ridge}), ALL[1:])
    found = torch.cat([state[f"{layer}.weight"].squeeze(1), state[f"{layer}.bias"]], dim=1)
    wanted = [solve(c[rows.owner.numpy()]) for c in ALL[1:]]
    np.testing.assert_allclose(found.numpy(), np.stack(wanted), atol=1e-4)


def test_ridge_head_and_rewinding_say_what_they_lack(digits):
    lacking = replace(digits, pretrained=replace(digits.pretrained, features=None, rewind=None))
    for name, what in (("ridge_head", "feature moments"), ("rewind_finetune", "early in training")):
        with pytest.raises(InputError, match=what):
            unlearn(lacking, build_unlearner(name), MOST)


def test_rewinding_begins_at_the_early_weights(game):
    state = unlearn(
        game, build_unlearner("rewind_finetune", {"steps": 1, "learning_rate": 1e-6}), MOST
    )
    for key, tensor in state.items():
        torch.testing.assert_close(tensor[0], game.pretrained.rewind[key], atol=1e-5, rtol=0)


def test_unlearning_beats_no_unlearning(digits):
    truth = utility(digits, build_unlearner("retrain"), ALL[1:-1])

    def rmse(name: str) -> float:
        found = utility(digits, build_unlearner(name), ALL[1:-1])
        return float(np.sqrt(((found - truth) ** 2).mean()))

    control = rmse("no_unlearning")
    assert max(map(rmse, ASCENT)) < control
    assert max(map(rmse, RETAIN_BASED)) < 0.7 * control


def test_all_are_registered():
    for name in RETAIN_FREE:
        assert UNLEARNERS[name].retain_free
    for name in RETAIN_BASED:
        assert not UNLEARNERS[name].retain_free
    assert not UNLEARNERS["ridge_head"].reads_rows
