"""Mean covariances under the kernel of `countkernel` of coalitions that are drawn at random."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from unshapley.estimators.countkernel import CountKernel, Floats

Ints = NDArray[np.int64]
DEVIATIONS, MARGIN = 7.0, 8
"""Numbers of common providers that are further from the mean than so many standard deviations and
a margin are left out: together they have a probability below 1e-11."""


@dataclass(frozen=True)
class Fixed:
    """How many providers beside the random ones are in S, in T, and in both."""

    in_s: int
    in_t: int
    common: int

    @property
    def swapped(self) -> Fixed:
        return Fixed(self.in_t, self.in_s, self.common)


def mean_covariances(kernel: CountKernel, free: int, cases: Sequence[Fixed]) -> list[Floats]:
    """Mean covariances `(free + 1, free + 1)` of U(S) and U(T) for each case.

    S is `in_s` providers and a random `a` of `free` others, T is `in_t` and a random `b` of them:
    entry (a, b). Sizes that the kernel does not know (0 and n) give entries of no meaning.
    """
    out = [np.empty((free + 1, free + 1)) for _ in cases]
    for b, a, common, probability in _overlaps(free):
        expected = np.asarray(a * (b / free if free else 0.0), dtype=np.float64)
        for fixed, table in zip(cases, out, strict=True):
            shared = (common + fixed.common).astype(np.float64)
            mean = expected + fixed.common
            table[a, b] = _mean(kernel, a + fixed.in_s, b + fixed.in_t, shared, mean, probability)
            if fixed.in_s == fixed.in_t:
                table[b, a] = table[a, b]
            else:
                s, t = b + fixed.in_s, a + fixed.in_t
                table[b, a] = _mean(kernel, s, t, shared, mean, probability)
    return out


def _mean(
    kernel: CountKernel,
    s: Ints | int,
    t: Ints | int,
    common: Floats,
    mean: Floats,
    probability: Floats,
) -> Floats:
    """Mean of k over the numbers of common providers `(sizes, counts)`."""
    smooth = kernel.g[s, t][:, None] * common
    smooth += kernel.r[s, t][:, None]
    np.exp(smooth, out=smooth)
    out: Floats = np.einsum("ij,ij->i", smooth, probability)
    out += kernel.p[s, t] + kernel.q[s, t] * mean
    return out


def _overlaps(free: int) -> Iterator[tuple[int, Ints, Ints, Floats]]:
    """For each size b of one random subset: the sizes a ≥ b of another, how many providers they
    may have in common `(sizes, counts)`, and the probabilities of that (hypergeometric).
    """
    log_factorial = special.gammaln(np.arange(free + 1, dtype=np.float64) + 1)
    log_binomial = log_factorial[free] - log_factorial - log_factorial[::-1]
    for b in range(free + 1):
        a = np.arange(b, free + 1)
        share = a / free if free else np.zeros(1)
        spread = np.sqrt(b * share * (1 - share) * (free - b) / max(free - 1, 1)).max()
        width = min(b, int(np.ceil(2 * (DEVIATIONS * spread + MARGIN))))
        lowest = np.clip(np.rint(b * share).astype(np.int64) - width // 2, 0, b - width)
        common = lowest[:, None] + np.arange(width + 1)
        rest = a[:, None] - common
        possible = rest <= free - b
        of_b = log_factorial[b] - log_factorial[: b + 1] - log_factorial[b::-1]
        of_rest = log_factorial[free - b] - (
            log_factorial[: free - b + 1] + log_factorial[free - b :: -1]
        )
        log = of_b[common] + of_rest[np.where(possible, rest, 0)] - log_binomial[a, None]
        probability = np.where(possible, np.exp(log), 0.0)
        # the logarithms are exact to 1e-13 only, and semivalues are small differences of the means
        yield b, a, common, probability / probability.sum(axis=1, keepdims=True)
