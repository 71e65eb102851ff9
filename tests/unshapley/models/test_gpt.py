import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from tests.unshapley.games import text_game
from unshapley.errors import InputError
from unshapley.game.measuring import measure, measure_batch, measure_endpoints
from unshapley.game.utilities import build_utilities
from unshapley.models.building import build
from unshapley.models.losses import row_loss
from unshapley.models.tokens import token_scores
from unshapley.unlearning import build_unlearner, check_task

GAME = text_game()
NAMES = build_utilities(["log_likelihood", "token_accuracy"], "language-model")


class Bag(nn.Module):
    """Sees all tokens at once, those it is to predict too."""

    def __init__(self, in_features: int, classes: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(classes, 4)
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        return self.head(self.tokens(x).mean(dim=-2, keepdim=True).expand(*x.shape, 4))


def test_a_model_that_sees_what_it_is_to_predict_is_refused():
    with pytest.raises(InputError, match="answers depend on later tokens"):
        build(f"{__name__}:Bag", in_features=6, classes=9, kwargs={}, seed=0, text=True)


def test_a_model_without_logits_for_every_position_is_refused():
    with pytest.raises(InputError, match=r"\(rows, 6, 9\)"):
        build("unshapley.models:mlp", in_features=6, classes=9, kwargs={}, seed=0, text=True)


def test_token_scores_are_those_of_the_plain_model():
    p, batch = GAME.pretrained, {n: t[None] for n, t in GAME.pretrained.trained.items()}
    scores = token_scores(p.model, batch, {}, GAME.test_x, GAME.test_y)[0]
    with torch.no_grad():
        logits = functional_call(p.model, p.trained, (GAME.test_x,))
    known = GAME.test_y >= 0
    log_p = logits.log_softmax(-1)[known].gather(1, GAME.test_y[known].long()[:, None])[:, 0]
    torch.testing.assert_close(scores[..., 0][known], log_p)
    assert torch.equal(scores[..., 1][known].bool(), logits.argmax(-1)[known] == GAME.test_y[known])
    assert not scores[~known].any()
    assert NAMES[0].score(scores[None], GAME.test_y).item() == pytest.approx(
        log_p.mean().item(), 1e-5
    )


def test_every_token_counts_alike_in_the_loss():
    outputs, y = (
        torch.randn(2, 4, 5),
        torch.tensor([[1, 2, 3, 4], [2, -1, -1, -1]], dtype=torch.int32),
    )
    nats = -outputs.log_softmax(-1)
    first = sum(nats[0, k, y[0, k].long()] for k in range(4))
    torch.testing.assert_close(row_loss(outputs, y), torch.stack([first, nats[1, 0, 2]]) / 4)


def test_the_bootstrap_of_a_mean_of_tokens_is_that_of_its_rows():
    outputs, y = GAME.outputs({n: t[None] for n, t in GAME.pretrained.trained.items()})
    sample = NAMES[0].samples_of(y)[5]
    assert NAMES[0].resampled(outputs, y)[0, 5].item() == pytest.approx(
        NAMES[0].score(outputs[:, sample], y[sample]).item(), 1e-9
    )


def test_coalitions_retrained_together_are_those_retrained_alone():
    coalitions = np.array([[1, 0, 0, 1], [1, 1, 1, 0], [0, 1, 0, 0]], dtype=bool)
    retrain = build_unlearner("retrain")
    together = measure(GAME, retrain, coalitions, NAMES)
    alone = [measure(GAME, retrain, c[None], NAMES)["log_likelihood"][0] for c in coalitions]
    np.testing.assert_allclose(together["log_likelihood"], alone, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [("ekfac", {}), ("ngram", {}), ("ekfac_ngram", {}), ("short_retrain", {"part": 0.1})],
)
def test_unlearners_of_text_say_that_who_speaks_a_pattern_is_worth_most_to_it(name, options):
    """The providers' patterns differ, so that each is worth something; a larger one is worth more."""
    everybody = np.ones((1, 4), dtype=bool)
    ends = measure_endpoints(GAME, build_unlearner(name, options), NAMES).primary_utilities
    without = np.vstack([everybody, ~np.eye(4, dtype=bool), ~everybody])
    measured, _ = measure_batch(GAME, build_unlearner(name, options), without, NAMES)
    utilities = measured.primary_utilities
    if name != "short_retrain":
        assert utilities[0] == pytest.approx(ends[1], abs=1e-5)
        assert utilities[-1] == pytest.approx(ends[0], abs=1e-5)
        assert max(utilities[1:5]) < utilities[0]
    assert np.isfinite(utilities).all()


def test_the_proxy_makes_no_model():
    with pytest.raises(Exception, match="is a proxy"):
        build_unlearner("ngram")(GAME.pretrained, torch.ones(1, 4, dtype=torch.bool))


def test_unlearners_of_other_rows_are_refused_for_text_and_the_other_way_round():
    with pytest.raises(InputError, match="newton is not for language models"):
        check_task(build_unlearner("newton"), text=True)
    with pytest.raises(InputError, match="ngram is for language models only"):
        check_task(build_unlearner("ngram"), text=False)
    check_task(build_unlearner("retrain"), text=True)


def test_an_own_utility_is_refused_for_text():
    with pytest.raises(InputError, match="a function of your own"):
        build_utilities(["sklearn.metrics:accuracy_score"], "language-model")
