"""How often each provider's text holds what a test set asks: counts of n-grams.

Of every test token the occurrences of it behind its context of zero, one and two tokens, and of
the context, are counted in a provider's rows. Counts add up over providers; of a provider nothing
but these is needed.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshapley.data.windows import NONE
from unshapley.models.rows import Rows
from unshapley.models.tokens import asked_tokens

ORDERS = 3
"""Length of the longest n-gram, with the token that is predicted."""
PRIOR = 100.0
"""Weight of the shorter n-gram's probability, in counts."""

Keys = NDArray[np.int64]


def ngram_counts(rows: Rows, test: Rows, vocabulary: int) -> Tensor:
    """Counts of the context of each test token and of both together
    `(ORDERS, 2, test rows, positions)`, float32.
    """
    counts, tokens_asked = [], asked_tokens(test[1]).numpy()
    for order in range(ORDERS):
        contexts, present = _contexts(rows[0], rows[1], order, vocabulary)
        asked, answerable = _contexts(test[0], test[1], order, vocabulary)
        words = (contexts * vocabulary + rows[1].numpy())[present]
        of_context = _occurrences(contexts[present], asked)
        of_both = _occurrences(words, asked * vocabulary + tokens_asked)
        counts.append(np.stack([of_context, of_both]) * answerable)
    return torch.from_numpy(np.stack(counts).astype(np.float32))


def ngram_log_probabilities(counts: Tensor, vocabulary: int) -> Tensor:
    """Logarithm of the probability of every test token `(m, rows, positions)`, in nats.

    p_n = (c(h, w) + k p_{n−1}) / (c(h) + k) for contexts h of n − 1 tokens, with p_0 = 1 / V and
    k = `PRIOR` (MacKay and Peto, "A hierarchical Dirichlet language model", 1995).

    counts: `(m, ORDERS, 2, rows, positions)`.
    """
    p = torch.full_like(counts[:, 0, 0], 1 / vocabulary)
    for order in range(ORDERS):
        of_context, of_both = counts[:, order].unbind(dim=1)
        p = (of_both + PRIOR * p) / (of_context + PRIOR)
    return p.log()


def _contexts(x: Tensor, y: Tensor, order: int, vocabulary: int) -> tuple[Keys, NDArray[np.bool_]]:
    """A number for the context of `order` tokens of each position `(rows, positions)`, and whether
    there is one, and a token behind it.
    """
    tokens = x.numpy().astype(np.int64)
    keys = np.zeros_like(tokens)
    present = y.numpy() != NONE
    for back in range(order):
        shifted = np.zeros_like(tokens)
        shifted[:, back:] = tokens[:, : tokens.shape[1] - back]
        keys = keys * vocabulary + shifted
        present[:, :back] = False
    return keys, present


def _occurrences(keys: Keys, asked: Keys) -> NDArray[np.int64]:
    """How often each of the asked numbers stands among the keys."""
    values, times = np.unique(keys, return_counts=True)
    if not len(values):
        return np.zeros(asked.shape, dtype=np.int64)
    index = np.searchsorted(values, asked).clip(max=len(values) - 1)
    return np.where(values[index] == asked, times[index], 0)
