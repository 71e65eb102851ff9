"""A Gaussian process over coalitions, given measured utilities, and semivalues from it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special

from unshapley.estimators.base import SAMPLING, Estimate, Floats
from unshapley.estimators.calibration import Calibration, calibration, semivalue_contrasts
from unshapley.estimators.countkernel import HYPERPARAMETERS, CountKernel, fit
from unshapley.estimators.functional import semivalue_covariance
from unshapley.game.coalitions import Coalitions

STEP = 0.6
"""Evidence, in nats a coalition, that errors depend on the size, from which a game has a step. Most
seen in games without one: 0.4; weighted majorities: 0.7 to 3."""
SPREAD = 0.3
"""Least standard deviation of values, relative to their mean, where there is a step: beside it most
coalitions say nothing of who moved it."""
LEAST = 0.05
"""Least amplitude of a size, relative to the largest."""
FIRST, HISTORY = 8, 40


class Posterior:
    """The process, given utilities `(m,)` of coalitions `(m, n)`.

    has_step: whether errors depend so much on the size that deviations got an amplitude by size.
    """

    def __init__(self, coalitions: Coalitions, utilities: Floats) -> None:
        self.coalitions, self.size = coalitions, coalitions.sum(axis=1)
        self.scale = float(utilities.std()) or 1.0
        self.residual = (utilities - utilities.mean()) / self.scale
        self._condition(np.ones(coalitions.shape[1] + 1))
        self.has_step = self._evidence_of_step() > STEP
        if self.has_step:
            self._condition(amplitude_by_size(self.size, self.residual, coalitions.shape[1]))

    def _condition(self, amplitude: Floats) -> None:
        self.kernel: CountKernel = fit(self.coalitions, self.residual, amplitude)
        covariance = self.kernel.gram(self.coalitions, self.coalitions)
        covariance[np.diag_indices_from(covariance)] += self.kernel.noise[self.size]
        self.factor: Floats = linalg.cholesky(covariance, lower=True, overwrite_a=True)
        lower = linalg.lapack.dpotri(self.factor, lower=1)[0]
        self.precision: Floats = np.tril(lower) + np.tril(lower, -1).T

    def solve(self, right: Floats) -> Floats:
        """covariance⁻¹ · right."""
        out: Floats = linalg.cho_solve((self.factor, True), right)
        return out

    def _evidence_of_step(self) -> float:
        """Log-likelihood gained a coalition, where leave-one-out errors of each size get a variance
        of their own instead of the process's, which is calibrated for all sizes together.
        """
        squares = self.solve(self.residual) ** 2 / np.diag(self.precision)
        if not squares.any():  # a constant game
            return 0.0
        count = np.bincount(self.size)
        mean = np.bincount(self.size, squares)[count > 0] / count[count > 0] / squares.mean()
        gain = np.maximum(mean, 1e-3) - 1 - np.log(np.maximum(mean, 1e-3))
        return float(count[count > 0] @ gain) / (2 * len(squares))

    def calibration(self, weights: Floats) -> Calibration:
        """Of the errors of k quantities, by errors of left-out pairs of coalitions.

        Sizes count by the share of their coalitions that is not measured: where all are, no error
        is left. weights: of each measured coalition in each quantity, over its probability to be
        measured `(k, m)`.
        """
        n = self.coalitions.shape[1]
        measured = np.bincount(self.size, minlength=n + 1)
        unmeasured = np.sqrt(1 - measured / special.binom(n, np.arange(n + 1)))
        weights = weights * unmeasured[self.size]
        fitted = HYPERPARAMETERS + 1  # and the mean
        return calibration(self.precision, self.solve(self.residual), weights, fitted)

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
        calibrated = self.calibration(semivalue_contrasts(self.coalitions, semivalue))
        error = (calibrated.ratio * self.scale) ** 2 * (prior - half.T @ half)
        value = operator @ table
        if self.has_step:
            error += _missing_spread(error, float(value.mean())) * (np.eye(n) - 1 / n)
        history, measured = self._history(cross, table, semivalue)
        quantile = calibrated.quantile
        return Estimate(value, {SAMPLING: error}, history, measured, operator, quantile)

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


def _missing_spread(error: Floats, mean: float) -> float:
    """What the mean variance of the values lacks of that of a step, per entry of I − 1/n."""
    n = len(error)
    least: float = (SPREAD * mean) ** 2
    return max(0.0, least - float(np.trace(error)) / (n - 1))


def amplitude_by_size(size: NDArray[np.int64], utilities: Floats, n: int) -> Floats:
    """How far utilities are from those that their size alone predicts, by size `(n + 1,)`.

    The root mean square of the residuals of a local linear regression on the size; over all
    coalitions its mean square is 1.
    """
    out = np.empty(n + 1)
    for s in range(n + 1):
        root = np.exp(-((size - s) ** 2) / (4 * max(1.0, n / 16) ** 2))
        design = np.stack([np.ones(len(size)), size - s], axis=1) * root[:, None]
        missed = root * utilities - design @ np.linalg.lstsq(design, root * utilities)[0]
        out[s] = np.sqrt((missed**2).sum() / (root**2).sum())
    out = np.maximum(out, LEAST * out.max())
    scaled: Floats = out / np.sqrt(np.mean(out[size] ** 2))
    return scaled


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
