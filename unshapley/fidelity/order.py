"""How sure the order of values is that nothing checked: by what the method missed elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import special

from unshapley.estimators.base import Floats

MISSED = {"ngram": 0.18}
"""By method the standard deviation of its error of a difference of two values, in mean values, by
which orders were right as often as said: fitted to 20 triples of targets, really retrained, of each
game of `benchmarks.language_models`, .175 and .130; the larger. Other proxies gave two figures too
far apart to state one."""


@dataclass(frozen=True)
class PairOrder:
    """That the first of two is worth more, with this probability."""

    provider: str
    other: str
    probability: float


def order_of_pairs(
    names: Sequence[str], values: Floats, method: str
) -> tuple[PairOrder, ...] | None:
    """Of each two providers the one with the higher value first, the surest pair first.

    The error of a difference is taken as normal, of the standard deviation that `MISSED` states for
    the mean of the absolute values. None for a method of which nothing is known. Not measured on
    these data: it says how often such an order was right in the benchmark.
    """
    scale = MISSED.get(method, 0.0) * float(np.abs(values).mean())
    if not scale:
        return None
    found = []
    for i, j in combinations(np.argsort(-values, kind="stable").tolist(), 2):
        probability = float(special.ndtr((values[i] - values[j]) / scale))
        found.append(PairOrder(names[i], names[j], round(probability, 3)))
    return tuple(sorted(found, key=lambda pair: -pair.probability))
