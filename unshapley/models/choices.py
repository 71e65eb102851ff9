"""What is made of a language model's scores of options: rows of a test set of questions.

The rows of a question follow one another, that of the right option first; `data.windows` says how
labels tell them. Ordinary documents beside them are passed over.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unshapley.data.windows import NONE, WRONG
from unshapley.models.tokens import asked_tokens


def questions_of(y: Tensor) -> Tensor:
    """1 for each row that is the right option of a question, else 0 `(rows,)`, float64."""
    wrong = _is_wrong(y)
    followed = torch.cat([wrong[1:], wrong.new_zeros(1)])
    return (followed & ~wrong).double()


def hits(scores: Tensor, y: Tensor) -> Tensor:
    """1 in the row of each right option that is likelier a token than every wrong one of its
    question, else 0 `(models, rows)`, float64 (Brown et al., "Language models are few-shot
    learners", 2020, section 2.4: length is normalised by tokens).
    """
    means = _sums(scores, y) / _asked(y).sum(dim=-1).clamp(min=1)
    best_wrong = _over_questions(means.masked_fill(~_is_wrong(y), -torch.inf), y, "amax")
    return (means > best_wrong).double() * questions_of(y)


def log_probabilities(scores: Tensor, y: Tensor) -> Tensor:
    """In the row of each right option the logarithm of its probability among the options of its
    question, in nats, else 0 `(models, rows)`, float64.
    """
    sums = _sums(scores, y)
    best = _over_questions(sums, y, "amax")
    total = _over_questions((sums - best).exp(), y, "sum")
    return (sums - best - total.log()) * questions_of(y)


def accuracy(scores: Tensor, y: Tensor) -> Tensor:
    """Share of the questions whose right option is likelier a token than the others `(models,)`."""
    return hits(scores, y).sum(dim=-1) / questions_of(y).sum()


def log_likelihood(scores: Tensor, y: Tensor) -> Tensor:
    """Mean log-probability of the right one of a question's options `(models,)`; 0 is best."""
    return log_probabilities(scores, y).sum(dim=-1) / questions_of(y).sum()


def _asked(y: Tensor) -> Tensor:
    return asked_tokens(y) != NONE


def _sums(scores: Tensor, y: Tensor) -> Tensor:
    """Log-probability of each row's tokens, those of wrong options too `(models, rows)`."""
    return (scores[..., 0].double() * _asked(y)).sum(dim=-1)


def _is_wrong(y: Tensor) -> Tensor:
    return (y <= WRONG).any(dim=-1)


def _over_questions(values: Tensor, y: Tensor, reduce: str) -> Tensor:
    """The largest, or the sum, of the values `(models, rows)` of each row's question."""
    question = (~_is_wrong(y)).long().cumsum(dim=0) - 1
    index = question.clamp(min=0).expand(values.shape)
    groups = values.new_zeros(len(values), len(y))
    return groups.scatter_reduce(1, index, values, reduce, include_self=False).gather(1, index)
