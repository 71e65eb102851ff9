"""Covariances of a semivalue or an interaction under the kernel of `countkernel`.

A semivalue is a linear functional of the utilities, so under a Gaussian process it is Gaussian too.
Its covariance with the utility of T depends only on the size of T and on whether T has the
provider. (Bayesian quadrature: O'Hagan, "Bayes–Hermite quadrature", 1991.) The empty and the full
coalition are left out of all sums, as their utilities are known. The noise of the kernel is part of
the game, a component that each coalition has for itself: what is measured is known exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from unshapley.estimators.countkernel import CountKernel, Floats
from unshapley.estimators.meancovariance import Fixed, mean_covariances
from unshapley.game.coalitions import Coalitions

_PAIR_CASES = (
    Fixed(2, 2, 2),
    Fixed(2, 1, 1),
    Fixed(2, 0, 0),
    Fixed(1, 1, 1),
    Fixed(1, 1, 0),
    Fixed(1, 0, 0),
    Fixed(0, 0, 0),
)
"""How many of a pair can be in S, in T, and in both; the others are these swapped."""


@dataclass(frozen=True)
class SemivalueCovariance:
    """Covariance of a semivalue with the utilities, and with itself.

    table: covariance with U(T), by the size of T and whether T has the provider (1: it has)
    `(n + 1, 2)`; variance: of one provider's value; covariance: of two providers' values.
    """

    table: Floats
    variance: float
    covariance: float

    def with_utilities(self, coalitions: Coalitions) -> Floats:
        """Covariance `(n, m)` of all providers' values with the utilities of coalitions."""
        size = coalitions.sum(axis=1)
        out: Floats = np.where(coalitions.T, self.table[size, 1], self.table[size, 0])
        return out


def semivalue_covariance(kernel: CountKernel, weights: Floats) -> SemivalueCovariance:
    """Σ_{S ∋ i} weights[s − 1] · mean k(S, T) − Σ_{S ∌ i} weights[s] · mean k(S, T)."""
    n, s = kernel.n, np.arange(1, kernel.n)
    both, in_s, neither = _means_of_one(kernel)
    table = np.zeros((n + 1, 2))
    table[s, 0] = weights[s - 1] @ in_s[s - 1][:, s] - weights[s] @ neither[s][:, s]
    table[s, 1] = weights[s - 1] @ both[s - 1][:, s - 1] - weights[s] @ in_s.T[s][:, s - 1]
    each = kernel.noise[:, None] * np.stack(size_weights(weights), axis=1)
    table[s] += each[s]
    without, within = table[s, 0], table[s, 1]
    variance = float(weights[s - 1] @ within - weights[s] @ without)
    # mean covariance of i's value with U(T) over all T with another provider j, and without j
    with_other = (within * (s - 1) + without * (n - s)) / (n - 1)
    without_other = (within * s + without * (n - 1 - s)) / (n - 1)
    covariance = float(weights[s - 1] @ with_other - weights[s] @ without_other)
    return SemivalueCovariance(table, variance, covariance)


def size_weights(weights: Floats) -> tuple[Floats, Floats]:
    """Weight in a semivalue of one coalition of each size 0 … n, for the other providers and for
    its members `(n + 1,)`.
    """
    n = len(weights)
    size = np.arange(n)
    log_binomial = special.gammaln(n) - special.gammaln(size + 1) - special.gammaln(n - size)
    each = weights * np.exp(-log_binomial)
    return -np.append(each, 0.0), np.append(0.0, each)


@lru_cache(maxsize=1)
def _means_of_one(kernel: CountKernel) -> tuple[Floats, Floats, Floats]:
    """Mean covariances where a provider is in S and in T, in S only, in neither.

    They serve all semivalues of a valuation.
    """
    both, in_s, neither = mean_covariances(
        kernel, kernel.n - 1, [Fixed(1, 1, 1), Fixed(1, 0, 0), Fixed(0, 0, 0)]
    )
    return both, in_s, neither


def interaction_covariance(kernel: CountKernel) -> tuple[Floats, float]:
    """Covariances of the pairwise Shapley interaction (Grabisch, Roubens 1999): the sum over s of
    1 / (n − 1) · mean [U(S ∪ ij) − U(S ∪ i) − U(S ∪ j) + U(S)] over S of s other providers.

    Returns its covariance with U(T), by the size of T and how many of the pair are in T
    `(n + 1, 3)`, and its variance.
    """
    n = kernel.n
    by_fixed = dict(zip(_PAIR_CASES, mean_covariances(kernel, n - 2, _PAIR_CASES), strict=True))
    by_fixed |= {fixed.swapped: means.T for fixed, means in by_fixed.items()}
    table = np.zeros((n + 1, 3))
    for in_t in range(3):
        # S has i or j: T has the same provider in `in_t` of the two cases
        same, other = Fixed(1, in_t, 1), Fixed(1, in_t, 0)
        pair, none = by_fixed[Fixed(2, in_t, in_t)].copy(), by_fixed[Fixed(0, in_t, 0)].copy()
        pair[-1], none[0] = 0.0, 0.0
        single = sum(
            by_fixed[fixed] * times for fixed, times in ((other, 2 - in_t), (same, in_t)) if times
        )
        sizes = np.arange(max(in_t, 1), min(n, n - 1 + in_t))
        table[sizes, in_t] = (pair - single + none)[:, sizes - in_t].sum(axis=0) / (n - 1)
    size = np.arange(n - 1)
    pairs, singles, nones = table[size + 2, 2].copy(), table[size + 1, 1], table[size, 0].copy()
    pairs[-1], nones[0] = 0.0, 0.0
    return table, float((pairs - 2 * singles + nones).sum() / (n - 1))
