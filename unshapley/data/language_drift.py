"""Providers whose language is unlike that of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

FAR = 0.45
"""Distance from which a provider is pointed out: 0 is the same language, 1 no token in common."""
DRAWS = 5
"""Samples by which it is known what chance makes of a language."""
MOST = 50
"""Others that a provider is compared with, evenly chosen of more."""

Counts = NDArray[np.int64]


def token_counts(documents: Sequence[NDArray[np.integer]], vocabulary: int) -> Counts:
    """How often each token stands in these documents `(vocabulary,)`."""
    tokens = np.concatenate([np.zeros(0, dtype=np.int64), *documents])
    known = tokens[(tokens >= 0) & (tokens < vocabulary)]
    return np.bincount(known.astype(np.int64), minlength=vocabulary)


def distances(counts: Mapping[str, Counts]) -> dict[str, float]:
    """By provider: how far its language is from that of half of the others at least, from 0 to 1.

    From each: the square root of the Jensen-Shannon divergence, in bits, of the frequencies of
    tokens (Lin 1991; Endres and Schindelin 2003), less what samples of these sizes differ by
    chance. The median is not moved by one other provider that is large, or unlike all.
    """
    names = [name for name, own in counts.items() if own.sum()]
    shares = {name: counts[name] / counts[name].sum() for name in names}
    if not names:
        return dict.fromkeys(counts, 0.0)
    every = np.mean(list(shares.values()), axis=0)
    chance = {name: _by_chance(every, int(counts[name].sum())) for name in names}
    out = dict.fromkeys(counts, 0.0)
    for name in names:
        others = [other for other in names if other != name]
        others = others[:: max(1, -(-len(others) // MOST))]
        far = [
            _divergence(shares[name], shares[other]) - chance[name] - chance[other]
            for other in others
        ]
        if far:
            middle = np.quantile(far, 0.5, method="lower")
            out[name] = float(np.sqrt(max(0.0, middle)))
    return out


def _divergence(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    middle = (p + q) / 2
    return float((rel_entr(p, middle) + rel_entr(q, middle)).sum() / 2 / np.log(2))


def _by_chance(p: NDArray[np.float64], tokens: int) -> float:
    """Mean divergence of samples of so many tokens from what they are drawn from."""
    generator = np.random.default_rng(0)
    drawn = (generator.multinomial(tokens, p) / tokens for _ in range(DRAWS))
    return float(np.mean([_divergence(sample, p) for sample in drawn]))
