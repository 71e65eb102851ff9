"""What a semivalue or an interaction is of a covariance by counts.

A semivalue is a linear functional of the utilities, so that of a Gaussian process is Gaussian: its
covariance with the utility of T depends only on the size of T and on whether T has the provider.
(Bayesian quadrature: O'Hagan, "Bayes–Hermite quadrature", 1991.) Nobody and everybody are left out
everywhere: their utilities are known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unshapley.estimators.countkernel import CountKernel, Floats
from unshapley.game.coalitions import Coalitions


@dataclass(frozen=True)
class SemivalueOf:
    """Covariance of a semivalue with the utilities, and with itself.

    table: by size of T and whether it has the provider (0: has not) `(n + 1, 2)`; variance of one
    provider's value, covariance of two.
    """

    table: Floats
    variance: float
    covariance: float

    def of(self, coalitions: Coalitions) -> Floats:
        """Covariance of every provider's value with utilities of coalitions `(n, m)`."""
        size = coalitions.sum(axis=1)
        out: Floats = np.where(coalitions.T, self.table[size, 1], self.table[size, 0])
        return out


def semivalue_of(kernel: CountKernel, weights: Floats) -> SemivalueOf:
    """Σ_{S ∋ i} weights[s − 1] · mean k(S, T) − Σ_{S ∌ i} weights[s] · mean k(S, T)."""
    n, s = kernel.n, np.arange(1, kernel.n)
    table = np.zeros((n + 1, 2))
    for t in range(1, n):
        for has in (0, 1):
            others = t - has
            joined = kernel.mean(s, t, (n - 1, s - 1, others), has)
            left_out = kernel.mean(s, t, (n - 1, s, others), 0)
            table[t, has] = weights[s - 1] @ joined - weights[s] @ left_out
    hasnt, has = table[s, 0], table[s, 1]
    variance = float(weights[s - 1] @ has - weights[s] @ hasnt)
    # of another provider's value: how often T has the first, if it has the second, and if not
    with_other = (has * (s - 1) + hasnt * (n - s)) / (n - 1)
    without = (has * s + hasnt * (n - 1 - s)) / (n - 1)
    return SemivalueOf(table, variance, float(weights[s - 1] @ with_other - weights[s] @ without))


def interaction_of(kernel: CountKernel) -> tuple[Floats, float]:
    """The same for the pairwise Shapley interaction (Grabisch, Roubens 1999): the mean over s of
    1 / (n − 1) · mean [U(S ∪ ij) − U(S ∪ i) − U(S ∪ j) + U(S)] over S of s others.

    Gives the table by size of T and how many of the pair it has `(n + 1, 3)`, and the variance.
    """
    n = kernel.n
    s = np.arange(n - 1)
    table = np.zeros((n + 1, 3))
    for t in range(1, n):
        for has in range(min(t, 2) + 1):
            others = t - has
            if others > n - 2:
                continue
            pair = kernel.mean(s + 2, t, (n - 2, s, others), has)
            one = kernel.mean(s + 1, t, (n - 2, s, others), 0)
            other = kernel.mean(s + 1, t, (n - 2, s, others), 1)
            # with one of the pair in S, T has that one in has / 2 of the two cases
            single = one * (2 - has) + other * has
            none = kernel.mean(s, t, (n - 2, s, others), 0)
            pair[-1], none[0] = 0.0, 0.0
            table[t, has] = (pair - single + none).sum() / (n - 1)
    size = np.arange(n - 1)
    pairs, singles, nones = table[size + 2, 2].copy(), table[size + 1, 1], table[size, 0].copy()
    pairs[-1], nones[0] = 0.0, 0.0
    return table, float((pairs - 2 * singles + nones).sum() / (n - 1))
