"""A Gaussian process over coalitions, given measured utilities, and semivalues from it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from unshapley.estimators.base import SAMPLING, Estimate, Floats
from unshapley.estimators.countkernel import CountKernel, fit
from unshapley.estimators.functional import semivalue_covariance
from unshapley.game.coalitions import Coalitions

WIDER = 1.2
"""Factor on the posterior's standard deviations, as the kernel was fitted to the same utilities.
Measured on stored games (benchmarks/estimators.py): it raises coverage from about .90 to .95."""
FEW, EXTRA_WIDTH = 32, 0.7
"""Further factor for m coalitions: 1 + EXTRA_WIDTH · (FEW / m)²; few utilities determine the
kernel poorly, and without the factor intervals would cover about .75."""
FIRST, HISTORY = 8, 40


class Posterior:
    """The process, given utilities `(m,)` of coalitions `(m, n)`."""

    def __init__(self, coalitions: Coalitions, utilities: Floats) -> None:
        self.coalitions = coalitions
        self.scale = float(utilities.std()) or 1.0
        self.residual = (utilities - utilities.mean()) / self.scale
        self.kernel: CountKernel = fit(coalitions, self.residual)
        covariance = self.kernel.gram(coalitions, coalitions)
        covariance[np.diag_indices_from(covariance)] += self.kernel.noise
        self.factor: Floats = linalg.cholesky(covariance, lower=True, overwrite_a=True)

    def solve(self, right: Floats) -> Floats:
        """covariance⁻¹ · right."""
        out: Floats = linalg.cho_solve((self.factor, True), right)
        return out

    def calibration(self) -> float:
        """Root mean square of the standardised leave-one-out errors, and at least 1."""
        precision = np.diag(linalg.lapack.dpotri(self.factor, lower=1)[0])
        errors = self.solve(self.residual) / np.sqrt(precision)
        return max(1.0, float(np.sqrt(np.mean(errors**2))))

    def deviation(self) -> float:
        """Factor from the process's standard deviations to calibrated ones in units of utility."""
        small_sample = 1 + EXTRA_WIDTH * (FEW / len(self.residual)) ** 2
        return WIDER * small_sample * self.calibration() * self.scale

    def estimate(self, table: Floats, semivalue: Floats) -> Estimate:
        m, n = self.coalitions.shape
        prior_covariance = semivalue_covariance(self.kernel, semivalue)
        cross = prior_covariance.with_utilities(self.coalitions)
        weights = self.solve(cross.T).T
        # the mean utility was subtracted: correct the weights by the semivalue of a constant
        ends = semivalue[0] - semivalue[-1]
        weights = weights - ((weights.sum(axis=1) - ends) / m)[:, None]
        first, last = np.full((n, 1), -semivalue[0]), np.full((n, 1), semivalue[-1])
        operator = np.hstack([first, weights, last])
        half = linalg.solve_triangular(self.factor, cross.T, lower=True)
        prior = np.full((n, n), prior_covariance.covariance)
        np.fill_diagonal(prior, prior_covariance.variance)
        error = self.deviation() ** 2 * (prior - half.T @ half)
        history, measured = self._history(cross, table, semivalue)
        return Estimate(operator @ table, {SAMPLING: error}, history, measured, operator)

    def _history(
        self, cross: Floats, table: Floats, semivalue: Floats
    ) -> tuple[Floats, NDArray[np.int64]]:
        """Estimates from the first coalitions only, with the kernel that was fitted to all."""
        m = len(self.residual)
        steps = np.unique(np.linspace(min(FIRST, m), m, HISTORY).astype(np.int64))
        utilities = table[1:-1]
        constant = semivalue[-1] * table[-1] - semivalue[0] * table[0]
        estimates = []
        for k in steps:
            # the Cholesky factor of the first k coalitions is a block of that of all
            corner = (self.factor[:k, :k], True)
            level = utilities[:k].mean()
            deviation = cross[:, :k] @ linalg.cho_solve(corner, utilities[:k] - level)
            estimates.append(deviation + constant + level * (semivalue[0] - semivalue[-1]))
        return np.array(estimates), steps


def posterior(coalitions: Coalitions, utilities: Floats) -> Posterior:
    """The process given these utilities; the last one is cached for repeated use."""
    return _fitted(
        coalitions.shape[1], np.packbits(coalitions, axis=1).tobytes(), utilities.tobytes()
    )


@lru_cache(maxsize=1)
def _fitted(n: int, coalitions: bytes, utilities: bytes) -> Posterior:
    measured = np.frombuffer(utilities, dtype=np.float64)
    packed = np.frombuffer(coalitions, dtype=np.uint8).reshape(len(measured), -1)
    return Posterior(np.unpackbits(packed, axis=1, count=n).astype(bool), measured)
