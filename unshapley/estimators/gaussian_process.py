"""Values from a Gaussian process over coalitions, for any number of providers."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from unshapley.coalitions import Coalitions
from unshapley.errors import InputError
from unshapley.estimators.base import SAMPLING, Estimate, Floats, Plan
from unshapley.estimators.countkernel import CountKernel, fit
from unshapley.estimators.functional import semivalue_of
from unshapley.estimators.sampling import kernel_weights, paired

FEWEST = 8
WIDER = 1.2
"""By which the posterior's deviations grow: the kernel was chosen from the same utilities. Measured
on stored games (benchmarks/estimators.py), where it takes coverage from about .90 to .95."""
HISTORY = 40


class GaussianProcessEstimator:
    """The posterior mean of a semivalue, given the measured utilities.

    A Gaussian process whose covariance depends on counts only (`countkernel`) predicts the utility
    of every coalition; a semivalue is a linear functional of it, in closed form for any n
    (`functional`). Its standard error is the posterior's, scaled to how well each measured utility
    is predicted from all others (leave-one-out; Rasmussen, Williams 2006, section 5.4.2). Values of
    Shapley sum to U(all) − U(none) exactly. Coalitions come in complementary pairs, drawn without
    replacement with the probabilities of the Shapley kernel. Completion by a Gaussian process
    where all coalitions can be listed is known; the closed form is ours.
    """

    name: ClassVar[str] = "gaussian_process"

    def plan(self, n: int, budget: int, seed: int) -> Plan:
        if budget < FEWEST:
            raise InputError(
                f"a budget of {budget} coalitions is too small",
                where="valuation.budget",
                expected=f"at least {FEWEST}",
                do="raise the budget",
            )
        count = min(budget, 2**n - 2)
        coalitions = paired(n, count, seed, kernel_weights)
        reason = f"the most exact from {count} of {_many(n)} coalitions"
        return Plan(self.name, coalitions, reason)

    def estimate(self, plan: Plan, table: Floats, semivalue: Floats) -> Estimate:
        fitted = Posterior(plan.coalitions, table[1:-1])
        return fitted.estimate(table, semivalue)


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
        """By how much leave-one-out predictions miss more than they own to; at least 1."""
        inverse = linalg.lapack.dpotri(self.factor, lower=1)[0]
        missed = self.solve(self.residual) / np.sqrt(np.diag(inverse))
        return max(1.0, float(np.sqrt(np.mean(missed**2))))

    def estimate(self, table: Floats, semivalue: Floats) -> Estimate:
        m, n = self.coalitions.shape
        functional = semivalue_of(self.kernel, semivalue)
        cross = functional.of(self.coalitions)
        weights = self.solve(cross.T).T
        # the mean utility is taken off before; a semivalue of a constant is what its ends lack
        ends = semivalue[0] - semivalue[-1]
        weights = weights - ((weights.sum(axis=1) - ends) / m)[:, None]
        first, last = np.full((n, 1), -semivalue[0]), np.full((n, 1), semivalue[-1])
        operator = np.hstack([first, weights, last])
        half = linalg.solve_triangular(self.factor, cross.T, lower=True)
        prior = np.full((n, n), functional.covariance)
        np.fill_diagonal(prior, functional.variance)
        error = (WIDER * self.calibration() * self.scale) ** 2 * (prior - half.T @ half)
        history, measured = self._history(cross, table, semivalue)
        return Estimate(operator @ table, {SAMPLING: error}, history, measured, operator)

    def _history(
        self, cross: Floats, table: Floats, semivalue: Floats
    ) -> tuple[Floats, NDArray[np.int64]]:
        """What the estimate was after so many coalitions, with the kernel that was chosen last."""
        m = len(self.residual)
        steps = np.unique(np.linspace(min(FEWEST, m), m, HISTORY).astype(np.int64))
        utilities = table[1:-1]
        constant = semivalue[-1] * table[-1] - semivalue[0] * table[0]
        out = []
        for k in steps:
            # the factor of fewer coalitions is a corner of that of all
            corner = (self.factor[:k, :k], True)
            level = utilities[:k].mean()
            found = cross[:, :k] @ linalg.cho_solve(corner, utilities[:k] - level)
            out.append(found + constant + level * (semivalue[0] - semivalue[-1]))
        return np.array(out), steps


def _many(n: int) -> str:
    return f"{2**n - 2:,}" if n < 40 else f"2^{n}"
