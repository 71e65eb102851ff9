import numpy as np
import pytest
import torch
from torch.func import functional_call

from tests.unshapley.games import text_game
from unshapley.curvature import kronecker
from unshapley.curvature.kronecker import kronecker_basis, kronecker_statistics, rotated
from unshapley.curvature.ngrams import PRIOR, ngram_counts, ngram_log_probabilities
from unshapley.models.losses import token_loss
from unshapley.models.training import trainable

GAME = text_game()
P = GAME.pretrained
ROWS = (P.rows.x, P.rows.y)
PARTS = [(P.rows.x[P.rows.owner == i], P.rows.y[P.rows.owner == i]) for i in range(4)]
BASIS = kronecker_basis(P.model, P.trained, PARTS, lambda _count: None)


def gradient_of(x, y):
    theta = {n: P.trained[n].clone().requires_grad_() for n in trainable(P.model)}
    loss = token_loss(functional_call(P.model, {**P.trained, **theta}, (x,)), y).sum()
    return dict(zip(theta, torch.autograd.grad(loss, list(theta.values())), strict=True))


def test_turning_there_and_back_changes_nothing():
    names = trainable(P.model)
    state = {n: P.trained[n] for n in names}
    back = rotated(BASIS, rotated(BASIS, state), back=True)
    for name in names:
        torch.testing.assert_close(back[name], state[name], atol=1e-5, rtol=1e-4)
    assert any(name.startswith("blocks.0.attention") for name in BASIS)


def test_gradient_and_squares_are_those_of_rows_taken_one_by_one():
    gradient, squares = kronecker_statistics(P.model, P.trained, BASIS, ROWS)
    plain = rotated(BASIS, gradient_of(*ROWS))
    expected = {name: torch.zeros_like(t) for name, t in squares.items()}
    for x, sampled in kronecker._sampled(P.model, P.trained, ROWS):
        for i in range(len(x)):
            row = rotated(BASIS, gradient_of(x[i : i + 1], sampled[i : i + 1]))
            for name, tensor in row.items():
                expected[name] += tensor.square()
    torch.testing.assert_close(gradient, plain, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(squares, expected, atol=1e-3, rtol=1e-3)


def test_drawn_labels_stand_only_where_there_are_any():
    y = ROWS[1]
    drawn = torch.cat([sampled for _, sampled in kronecker._sampled(P.model, P.trained, ROWS)])
    assert torch.equal(drawn < 0, y < 0)
    assert not torch.equal(drawn, y)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_counts_are_those_of_a_plain_loop_and_add_up(order):
    test = P.test
    counts = torch.stack([ngram_counts(part, test, 12) for part in PARTS])
    torch.testing.assert_close(counts.sum(dim=0), ngram_counts(ROWS, test, 12))
    x, y = (t.tolist() for t in ROWS)
    asked = [(r, c) for r in (0, 7) for c in (0, 1, 2, 5)]
    for r, c in asked:
        context = test[0][r, c - order + 1 : c + 1].tolist() if order else []
        word = int(test[1][r, c])
        seen = [
            (row_x[k - order + 1 : k + 1] if order else [], row_y[k])
            for row_x, row_y in zip(x, y, strict=True)
            for k in range(8)
            if row_y[k] >= 0 and k - order + 1 >= 0
        ]
        if c - order + 1 < 0 or word < 0:
            assert not counts[:, order, :, r, c].any()
            continue
        assert counts[:, order, 0, r, c].sum() == sum(h == context for h, _ in seen)
        assert counts[:, order, 1, r, c].sum() == sum(h == context and w == word for h, w in seen)


def test_probabilities_are_interpolated_as_the_formula_says():
    counts = ngram_counts(ROWS, P.test, 12)
    r, c = 3, 4
    p = 1 / 12
    for order in range(3):
        of_context, of_both = counts[order, :, r, c].tolist()
        p = (of_both + PRIOR * p) / (of_context + PRIOR)
    assert ngram_log_probabilities(counts[None], 12)[0, r, c].item() == pytest.approx(
        np.log(p), 1e-5
    )
    nothing = ngram_log_probabilities(torch.zeros_like(counts)[None], 12)
    torch.testing.assert_close(nothing, torch.full_like(nothing, -np.log(12)))
