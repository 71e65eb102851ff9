"""Correction of unlearned utilities by a few real retrainings.

The residual, retrained minus unlearned utility, is a smooth function of the coalition. It is learnt
from the retrained coalitions and added to the utilities of all others (the two-level model of
Kennedy and O'Hagan, "Predicting the output from a complex computer code when fast approximations
are available", Biometrika 2000). Its remaining uncertainty is part of the standard errors.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from unshapley.errors import InputError
from unshapley.estimators import CORRECTION, Estimate
from unshapley.game.coalitions import Coalitions
from unshapley.numerics import one_thread

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEWEST = 4
"""Fewest retrained coalitions from which a correction can be learnt."""
DRAWS = 200
"""Number of draws from the posterior."""
FOURIER = 1024
"""Random features of a draw from the prior."""


@dataclass(frozen=True)
class Correction:
    """Corrected utilities of m coalitions.

    corrected: `(m,)`; draws: corrected utilities drawn from the posterior `(DRAWS, m)`; left_out:
    utility of each retrained coalition, corrected by the other retrained ones only `(k,)`.
    """

    corrected: Floats
    draws: Floats
    left_out: Floats


def choose(count: int, seed: int, exact: NDArray[np.bool_], plan: Coalitions) -> Ints:
    """Which coalitions of a plan `(m, n)` to retrain, as indices `(count,)`, ascending.

    Coalitions that are `exact` `(m,)` are not chosen. Up to half of the chosen ones keep a single
    provider: there unlearning has its largest errors, retraining is cheapest, and the weight in the
    value is largest. The others are spread evenly over the sizes.
    """
    rng = np.random.default_rng(seed)
    sizes, n = plan.sum(axis=1), plan.shape[1]
    order = [int(i) for i in rng.permutation(np.flatnonzero(~exact))]
    chosen = [i for i in order if sizes[i] == 1][: count // 2]
    by_size = {s: [i for i in order if sizes[i] == s and i not in chosen] for s in range(1, n)}
    while len(chosen) < count and any(by_size.values()):
        for size in rng.permutation([s for s in by_size if by_size[s]]):
            if len(chosen) < count:
                chosen.append(by_size[int(size)].pop())
    return np.array(sorted(chosen), dtype=np.int64)


@one_thread()
def correct(
    plan: Coalitions,
    shares: Floats,
    unlearned: Floats,
    retrained: tuple[Ints, Floats],
    exact: NDArray[np.bool_],
    seed: int,
) -> Correction:
    """Learn the residual from the retrained coalitions and add it to all others.

    plan: `(m, n)`; shares: share of the training rows that each coalition keeps `(m,)`; unlearned:
    utilities `(m,)`; retrained: indices of retrained coalitions, ascending, and their utilities
    `(k,)`; exact: coalitions whose `unlearned` utility comes from retraining already `(m,)`. Raises
    `InputError` for fewer than four retrained coalitions.
    """
    rows, truth = retrained
    if len(rows) == (~exact).sum():  # every utility is known by retraining
        corrected = unlearned.copy()
        corrected[rows] = truth
        return Correction(corrected, np.tile(corrected, (2, 1)), truth)
    if len(rows) < FEWEST:
        raise InputError(
            f"{len(rows)} retrained coalitions are too few to learn a correction from",
            where="correction.coalitions",
            expected=f"at least {FEWEST} that are not retrained anyway",
            do="raise it, or set it to 0",
        )
    residual = truth - unlearned[rows]
    scale = float(np.std(residual)) or 1.0
    x, y = _features(plan, shares, unlearned), residual / scale
    kernel = _fit(x[rows], y)
    factor = linalg.cho_factor(kernel.full(x[rows]))
    mean = kernel.smooth(x, x[rows]) @ linalg.cho_solve(factor, y)
    inverse = linalg.cho_solve(factor, np.eye(len(y)))
    missed = (inverse @ y) / np.diag(inverse)  # leave-one-out errors, in closed form
    # if leave-one-out errors exceed the deviations of the posterior, scale all deviations up
    calibration = max(1.0, float(np.sqrt(np.mean(missed**2 * np.diag(inverse)))))
    draws = mean + calibration * _deviations(kernel, x, rows, factor, seed)
    for table in (mean, draws.T):
        table[exact] = 0.0
        table[rows] = y if table.ndim == 1 else y[:, None]
    left_out = unlearned[rows] + scale * (y - missed)
    return Correction(unlearned + scale * mean, unlearned + scale * draws, left_out)


@one_thread()
def with_correction(correction: Correction, estimate: Estimate) -> Estimate:
    """The estimate (from corrected utilities) with an added error: that of the correction.

    The error is the covariance of the values over posterior draws of the correction.
    """
    if estimate.operator is None:
        raise InputError(
            "the estimator is not linear in the utilities: the error of a correction is unknown",
            where="valuation.estimator",
            do="use another, or set correction.coalitions to 0",
        )
    values = correction.draws @ estimate.operator[:, 1:-1].T
    error = np.atleast_2d(np.cov(values, rowvar=False))
    return replace(estimate, errors={**estimate.errors, CORRECTION: error})


@dataclass(frozen=True)
class _Kernel:
    """variance · exp(−‖a − b‖² / 2 length²) + noise."""

    variance: float
    length: float
    noise: float

    def smooth(self, a: Floats, b: Floats) -> Floats:
        from sklearn.gaussian_process.kernels import RBF

        return np.asarray(self.variance * RBF(self.length)(a, b))

    def full(self, a: Floats) -> Floats:
        return self.smooth(a, a) + (self.noise + 1e-9) * np.eye(len(a))


def _fit(x: Floats, y: Floats) -> _Kernel:
    """The kernel with the largest marginal likelihood."""
    # here, for every run without a correction is spared 1.4 s of import
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * RBF(3.0, (0.5, 50.0))
    model = GaussianProcessRegressor(kernel + WhiteKernel(0.01, (1e-4, 1.0)))
    with warnings.catch_warnings():  # a length scale at its bound is acceptable
        warnings.simplefilter("ignore")
        model.fit(x, y)
    parts = model.kernel_.get_params()
    return _Kernel(
        parts["k1__k1__constant_value"], parts["k1__k2__length_scale"], parts["k2__noise_level"]
    )


def _deviations(
    kernel: _Kernel, x: Floats, rows: Ints, factor: tuple[Floats, bool], seed: int
) -> Floats:
    """Draws from the posterior minus its mean `(DRAWS, m)`.

    Each is a draw from the prior (by random Fourier features) minus the prediction of that draw
    from its noisy values at `rows` (Matheron's rule, Wilson et al. 2020).
    """
    from sklearn.kernel_approximation import RBFSampler

    rng = np.random.default_rng(seed)
    sampler = RBFSampler(gamma=0.5 / kernel.length**2, n_components=FOURIER, random_state=seed)
    waves = sampler.fit_transform(x) * np.sqrt(kernel.variance)
    prior = rng.standard_normal((DRAWS, FOURIER)) @ waves.T
    noisy = prior[:, rows] + np.sqrt(kernel.noise) * rng.standard_normal((DRAWS, len(rows)))
    predicted: Floats = linalg.cho_solve(factor, noisy.T).T @ kernel.smooth(x[rows], x)
    deviations: Floats = prior - predicted
    return deviations


def _features(plan: Coalitions, shares: Floats, unlearned: Floats) -> Floats:
    """Features of the residual `(m, features)`: share of rows kept, unlearned utility, who stays,
    and who stays relative to the size of the coalition.
    """
    n = plan.shape[1]
    columns = [shares, shares**2, np.exp(-shares / 0.1), np.exp(-shares / 0.3), unlearned]
    table = np.stack(columns, axis=1)
    spread = table.std(axis=0)
    table = 3 * (table - table.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    member = plan.astype(float)
    per_size = (member / member.sum(axis=1, keepdims=True) - 1 / n) * np.sqrt(n)
    return np.hstack([table, member - 0.5, per_size])
