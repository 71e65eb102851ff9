"""How far a Gaussian process over coalitions errs, over how far it should: by what it leaves out.

A value errs by the sum over all unmeasured coalitions of weight · (utility − prediction). Measured
coalitions are drawn with probabilities of their own, so errors of predictions of *them*, each made
without that coalition, estimate such a sum where each is given its weight over its probability.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from unshapley.estimators.base import NORMAL, Floats
from unshapley.game.coalitions import Coalitions

Ints = NDArray[np.int64]

WIDER = 1.08
"""Factor on calibrated standard deviations: most games are no draw of such a process. Measured, as
the next one, on random games of many kinds (benchmarks/estimators.py --unseen)."""
PRIOR_FREEDOM = 0.5
"""Degrees of freedom for which the standard deviations of the process itself count."""


@dataclass(frozen=True)
class Calibration:
    """ratio: factor from the process's standard deviations to calibrated ones; freedom: degrees of
    freedom of its square.
    """

    ratio: float
    freedom: float

    @property
    def quantile(self) -> float:
        """97.5 % quantile of Student's t."""
        return float(special.stdtrit(self.freedom, 0.975))

    @property
    def widened(self) -> float:
        """The ratio by which normal intervals get as wide as Student's."""
        return self.ratio * self.quantile / NORMAL


def calibration(precision: Floats, solved: Floats, weights: Floats, fitted: int = 0) -> Calibration:
    """Root mean square ratio of weighted left-out errors to what the process makes of them.

    Pairs of successive coalitions are left out together, as a coalition and its complement err
    alike (all of them in closed form: Rasmussen, Williams 2006, section 5.4.2). The degrees of
    freedom follow from the spread of the pairs' squared errors (Satterthwaite 1946): a few large
    errors say little of how far others err. Parameters that were fitted to the same utilities take
    as many of the m degrees of freedom, as in a regression.

    precision: inverse covariance of the utilities `(m, m)`; solved: precision @ utilities `(m,)`;
    weights: of the coalitions in each of k quantities `(k, m)`; fitted: number of parameters. Of
    odd m, the last coalition is not left out.
    """
    pairs = np.arange(len(solved) // 2 * 2).reshape(-1, 2)
    covariance = np.linalg.inv(precision[pairs[:, :, None], pairs[:, None, :]])
    missed = np.einsum("gab,gb->ga", covariance, solved[pairs])
    products = np.einsum("kga,kgb->gab", weights[:, pairs], weights[:, pairs])
    squares = np.einsum("ga,gab,gb->g", missed, products, missed)
    expected = np.einsum("gab,gab->g", products, covariance)
    lost = len(solved) / max(len(solved) - fitted, 1)
    if not expected.sum() > 0:  # no pair tells of what is unmeasured
        return Calibration(float(WIDER * np.sqrt(lost)), float(len(pairs)))
    ratio = squares.sum() / expected.sum()
    freedom = max(_freedom(squares, squares - ratio * expected) / lost, 1.0)
    pooled = (freedom * ratio + PRIOR_FREEDOM) / (freedom + PRIOR_FREEDOM)
    return Calibration(float(WIDER * np.sqrt(lost * pooled)), freedom + PRIOR_FREEDOM)


def _freedom(squares: Floats, deviation: Floats) -> float:
    """Of a χ² distribution with the relative variance of the sum of `squares`: 2 / variance."""
    groups = len(squares)
    variance = float((deviation**2).sum()) * groups / (groups - 1)
    return 2 * float(squares.sum()) ** 2 / variance if variance > 0 else float(groups)


def semivalue_contrasts(coalitions: Coalitions, semivalue: Floats) -> Floats:
    """Weight of each coalition in each value, over its probability under the Shapley kernel, up to
    a common factor `(n, m)`.

    A coalition of size s has the weight semivalue[s − 1] / C(n − 1, s − 1) in the value of a member
    and −semivalue[s] / C(n − 1, s) in that of another, and the probability 1 / (s (n − s) C(n, s)).
    For Shapley values it is n · (whether the provider is a member) − s.
    """
    size, n = coalitions.sum(axis=1), coalitions.shape[1]
    member, other = semivalue[size - 1] * (n - size), -semivalue[size] * size
    out: Floats = np.where(coalitions.T, member, other)
    return out


def interaction_contrasts(size: Ints, both: Ints, n: int) -> Floats:
    """The same for pairwise Shapley interactions `(pairs, m)`.

    size: of the coalitions `(m,)`; both: how many of each pair are in each `(pairs, m)`.
    """
    all_in = (n - size) / np.maximum(size - 1, 1)
    none_in = size / np.maximum(n - size - 1, 1)
    out: Floats = np.where(both == 2, all_in, np.where(both == 1, -1.0, none_in))
    return out
