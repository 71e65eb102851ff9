"""Covariances of a semivalue or an interaction under the kernel of `countkernel`.

A semivalue is a linear functional of the utilities, so under a Gaussian process it is Gaussian too.
Its covariance with the utility of T depends only on the size of T and on whether T has the
provider. (Bayesian quadrature: O'Hagan, "Bayes–Hermite quadrature", 1991.) The empty and the full
coalition are left out of all sums, as their utilities are known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unshapley.estimators.countkernel import CountKernel, Floats
from unshapley.game.coalitions import Coalitions


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
    table = np.zeros((n + 1, 2))
    for t in range(1, n):
        for in_t in (0, 1):
            others = t - in_t
            joined = kernel.mean(s, t, (n - 1, s - 1, others), in_t)
            not_joined = kernel.mean(s, t, (n - 1, s, others), 0)
            table[t, in_t] = weights[s - 1] @ joined - weights[s] @ not_joined
    without, within = table[s, 0], table[s, 1]
    variance = float(weights[s - 1] @ within - weights[s] @ without)
    # mean covariance of i's value with U(T) over all T with another provider j, and without j
    with_other = (within * (s - 1) + without * (n - s)) / (n - 1)
    without_other = (within * s + without * (n - 1 - s)) / (n - 1)
    covariance = float(weights[s - 1] @ with_other - weights[s] @ without_other)
    return SemivalueCovariance(table, variance, covariance)


def interaction_covariance(kernel: CountKernel) -> tuple[Floats, float]:
    """Covariances of the pairwise Shapley interaction (Grabisch, Roubens 1999): the sum over s of
    1 / (n − 1) · mean [U(S ∪ ij) − U(S ∪ i) − U(S ∪ j) + U(S)] over S of s other providers.

    Returns its covariance with U(T), by the size of T and how many of the pair are in T
    `(n + 1, 3)`, and its variance.
    """
    n = kernel.n
    s = np.arange(n - 1)
    table = np.zeros((n + 1, 3))
    for t in range(1, n):
        for in_t in range(min(t, 2) + 1):
            others = t - in_t
            if others > n - 2:
                continue
            pair = kernel.mean(s + 2, t, (n - 2, s, others), in_t)
            outside = kernel.mean(s + 1, t, (n - 2, s, others), 0)
            inside = kernel.mean(s + 1, t, (n - 2, s, others), 1)
            # S has i or j: T has the same provider in `in_t` of the two cases
            single = outside * (2 - in_t) + inside * in_t
            none = kernel.mean(s, t, (n - 2, s, others), 0)
            pair[-1], none[0] = 0.0, 0.0
            table[t, in_t] = (pair - single + none).sum() / (n - 1)
    size = np.arange(n - 1)
    pairs, singles, nones = table[size + 2, 2].copy(), table[size + 1, 1], table[size, 0].copy()
    pairs[-1], nones[0] = 0.0, 0.0
    return table, float((pairs - 2 * singles + nones).sum() / (n - 1))
