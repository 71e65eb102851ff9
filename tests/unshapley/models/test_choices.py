"""Questions with options: scored as one would by hand, one option at a time."""

import math

import pytest
import torch

from unshapley.data.windows import choice_window, windows
from unshapley.errors import InputError
from unshapley.game.utilities import UTILITIES, build_utilities, scores_of
from unshapley.models import choices, tokens
from unshapley.models.batching import batch_of_one
from unshapley.models.building import build

CONTEXT, VOCABULARY = 12, 20


@pytest.fixture(scope="module")
def models():
    kwargs = {"width": 8, "layers": 1, "heads": 2}
    made = [build("unshapley.models:gpt", in_features=CONTEXT, classes=VOCABULARY, kwargs=kwargs, seed=seed, text=True) for seed in range(3)]  # fmt: skip
    for model in made:  # a new one knows nothing
        for parameter in model.parameters():
            parameter.data += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))  # fmt: skip
    return made


QUESTIONS = [([3, 4, 5], [[6, 7], [8], [9, 10, 11]]), ([1, 2], [[3], [4]]), ([7], [[1, 2], [2, 1]])]
DOCUMENT = [5, 6, 7, 8, 9]


def rows():
    parts = [windows([DOCUMENT], CONTEXT)]
    for question, options in QUESTIONS:
        for position, option in enumerate(options):
            sign = -1 if position else 1
            parts.append(choice_window(question + option, sign * len(question), CONTEXT))
    x, y = zip(*parts, strict=True)
    return (torch.cat([torch.from_numpy(part) for part in side]) for side in (x, y))


def by_hand(model, prompt, continuation):
    """Log-probability of each token of the continuation behind the prompt."""
    read = [0, *prompt, *continuation]
    x = torch.tensor([read[:CONTEXT] + [0] * (CONTEXT - len(read))], dtype=torch.int32)
    with torch.no_grad():
        logs = torch.log_softmax(model(x)[0].double(), dim=-1)
    return [float(logs[len(prompt) + i, token]) for i, token in enumerate(continuation)]


def test_options_are_scored_as_one_at_a_time(models):
    x, y = rows()
    for model in models:
        scores = tokens.token_scores(model, batch_of_one(dict(model.state_dict())), {}, x, y)
        hits, nats = [], []
        for question, options in QUESTIONS:
            each = [by_hand(model, question, option) for option in options]
            means = [sum(part) / len(part) for part in each]
            hits.append(means[0] > max(means[1:]))
            total = math.log(sum(math.exp(sum(part)) for part in each))
            nats.append(sum(each[0]) - total)
        assert float(choices.accuracy(scores, y)) == pytest.approx(sum(hits) / 3)
        assert float(choices.log_likelihood(scores, y)) == pytest.approx(sum(nats) / 3, abs=1e-5)
        counted = [by_hand(model, q, o[0]) for q, o in QUESTIONS] + [by_hand(model, [], [*DOCUMENT, 0])]  # fmt: skip
        flat = [nat for part in counted for nat in part]
        found = float(tokens.log_likelihood(scores, y))
        assert found == pytest.approx(sum(flat) / len(flat), abs=1e-5)  # no wrong option counts


def test_samples_of_the_test_rows_are_samples_of_questions(models):
    x, y = rows()
    every = torch.cat([y] * 5), torch.cat([x] * 5)
    state = {n: torch.stack([dict(m.state_dict())[n] for m in models]) for n in models[0].state_dict()}  # fmt: skip
    scores = tokens.token_scores(models[0], state, {}, every[1], every[0])
    utility = UTILITIES["choice_accuracy"]
    utility.check_defined(every[0])
    resampled = utility.resampled(scores, every[0])
    assert resampled.shape == (3, 60)
    assert ((resampled >= 0) & (resampled <= 1)).all()  # no sample is without a question
    expected = utility.score(scores, every[0])
    assert torch.allclose(resampled.mean(dim=1), expected, atol=0.1)


def test_bits_are_counted_by_bytes(models):
    x, y = rows()
    scores = tokens.token_scores(models[0], batch_of_one(dict(models[0].state_dict())), {}, x, y)
    (utility,) = build_utilities(["neg_bits_per_byte"], "language-model", bytes_per_token=2.5)
    found = float(utility.score(scores, y))
    assert found == pytest.approx(float(tokens.log_likelihood(scores, y)) / math.log(2) / 2.5)
    part = slice(1, 4)  # a part of the rows is counted by its own bytes
    apart = float(utility.score(scores[:, part], y[part]))
    assert apart == pytest.approx(sum(by_hand(models[0], *_first())) / math.log(2) / 2.5 / 2, abs=1e-5)  # fmt: skip
    with pytest.raises(InputError, match="needs the bytes of the test set"):
        build_utilities(["neg_bits_per_byte"], "language-model", bytes_per_token=0.0)


def _first():
    question, options = QUESTIONS[0]
    return question, options[0]


def test_without_questions_there_is_no_accuracy_of_them():
    _, y = windows([DOCUMENT] * 20, CONTEXT)
    with pytest.raises(InputError, match="not defined on a test set with 0 questions"):
        UTILITIES["choice_accuracy"].check_defined(torch.from_numpy(y))
    names = [utility.name for utility in scores_of("language-model")]
    assert names == ["log_likelihood", "token_accuracy"]
