"""Semivalues, defined by a weight for each size of the coalition that a provider joins.

φ_i = Σ_s weights[s] · mean of U(S ∪ i) − U(S) over all S without i of s providers (Dubey, Neyman,
Weber, "Value theory without efficiency", 1981). Only Shapley's weights make the values sum to
U(all) − U(none).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]


def shapley(n: int) -> Floats:
    """Equal weights for all sizes `(n,)` (Shapley 1953)."""
    return np.full(n, 1 / n)


def banzhaf(n: int) -> Floats:
    """Equal weights for all coalitions `(n,)`: the semivalue whose ranking is most robust to noise
    (Wang, Jia, "Data Banzhaf", AISTATS 2023).
    """
    size = np.arange(n)
    log = _log_binomial(n - 1, size) - (n - 1) * np.log(2)
    return np.asarray(np.exp(log), dtype=np.float64)


def beta(n: int, alpha: float, beta: float) -> Floats:
    """Beta(α, β)-Shapley `(n,)` (Kwon, Zou, AISTATS 2022): α = β = 1 is Shapley's; a larger α
    gives more weight to small coalitions, a larger β to large ones.
    """
    size = np.arange(n)
    log = special.betaln(size + beta, n - 1 - size + alpha) + _log_binomial(n - 1, size)
    weights = np.exp(log - log.max())
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def leave_one_out(n: int) -> Floats:
    """Only the marginal contribution to all others counts `(n,)`."""
    weights = np.zeros(n)
    weights[-1] = 1.0
    return weights


SEMIVALUES: Mapping[str, Callable[[int], Floats]] = {
    "shapley": shapley,
    "banzhaf": banzhaf,
    "beta_1_16": lambda n: beta(n, 1, 16),
    "beta_16_1": lambda n: beta(n, 16, 1),
    "leave_one_out": leave_one_out,
}


def _log_binomial(n: int, k: NDArray[np.int64]) -> Floats:
    out: Floats = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    return out
