"""Correction of unlearned utilities by a few real retrainings.

The residual, retrained minus unlearned utility, is a smooth function of the coalition: it is learnt
from the coalitions that were retrained and added to all others (the two-level form of Kennedy and
O'Hagan, "Predicting the output from a complex computer code when fast approximations are
available", Biometrika 2000). What it leaves uncertain goes into the standard errors.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.kernel_approximation import RBFSampler

from unshapley.coalitions import Coalitions, to_masks
from unshapley.errors import InputError
from unshapley.estimators import CORRECTION, Estimate

Floats = NDArray[np.float64]

DRAWS = 200
FOURIER = 1024
"""Random features of a draw from the prior."""


@dataclass(frozen=True)
class Correction:
    """Corrected utilities of m coalitions.

    corrected: `(m,)`; draws: the same as the posterior might have it `(DRAWS, m)`; masks: of the
    retrained coalitions `(k,)`; left_out: each of them corrected by all but itself `(k,)`.
    """

    corrected: Floats
    draws: Floats
    masks: tuple[int, ...]
    left_out: Floats


def choose(n: int, count: int, seed: int, exact: NDArray[np.bool_], plan: Coalitions) -> Coalitions:
    """Coalitions of a plan `(m, n)` to retrain `(count, n)`, without those that are `exact` `(m,)`.

    Unlearning errs most where one provider is kept, which is cheapest to retrain and weighs most in
    the value: up to half of them are such. The others are spread evenly over the sizes.
    """
    rng = np.random.default_rng(seed)
    sizes = plan.sum(axis=1)
    order = [int(i) for i in rng.permutation(np.flatnonzero(~exact))]
    chosen = [i for i in order if sizes[i] == 1][: count // 2]
    by_size = {s: [i for i in order if sizes[i] == s and i not in chosen] for s in range(1, n)}
    while len(chosen) < count and any(by_size.values()):
        for size in rng.permutation([s for s in by_size if by_size[s]]):
            if len(chosen) < count:
                chosen.append(by_size[int(size)].pop())
    return plan[sorted(chosen)]


def correct(
    plan: Coalitions,
    shares: Floats,
    unlearned: Sequence[float],
    retrained: Mapping[int, float],
    exact: NDArray[np.bool_],
    seed: int,
) -> Correction:
    """Learn the residual from `retrained` `{mask: utility}` and add it to every coalition.

    plan: `(m, n)`, which holds all retrained coalitions; shares: of the training rows that each
    keeps `(m,)`; exact: whose utilities are retrained ones already `(m,)`. Raises `InputError` for
    fewer than four retrained coalitions.
    """
    masks = to_masks(plan)
    known = np.array([i for i, mask in enumerate(masks) if mask in retrained], dtype=int)
    base = np.array(unlearned)
    if len(known) == (~exact).sum():  # nothing is left to be learnt
        truth = base.copy()
        truth[known] = [retrained[masks[i]] for i in known]
        seen = tuple(masks[i] for i in known)
        return Correction(truth, np.tile(truth, (2, 1)), seen, truth[known])
    if len(known) < 4:
        raise InputError(
            f"{len(known)} retrained coalitions are too few to learn a correction from",
            where="fidelity.retrain",
            expected="at least 4 that are not retrained anyway",
            do="raise it, or set it to 0",
        )
    residual = np.array([retrained[masks[i]] for i in known]) - base[known]
    scale = float(np.std(residual)) or 1.0
    x, y = _features(plan, shares, base), residual / scale
    kernel = _fit(x[known], y)
    factor = linalg.cho_factor(kernel.full(x[known]))
    mean = kernel.smooth(x, x[known]) @ linalg.cho_solve(factor, y)
    inverse = linalg.cho_solve(factor, np.eye(len(y)))
    missed = (inverse @ y) / np.diag(inverse)  # of each by the others, in closed form
    # where the others miss by more than they own to, all deviations grow by as much
    honest = max(1.0, float(np.sqrt(np.mean(missed**2 * np.diag(inverse)))))
    draws = mean + honest * _deviations(kernel, x, known, factor, seed)
    for table in (mean, draws.T):
        table[exact] = 0.0
        table[known] = y if table.ndim == 1 else y[:, None]
    left_out = base[known] + scale * (y - missed)
    seen = tuple(masks[i] for i in known)
    return Correction(base + scale * mean, base + scale * draws, seen, left_out)


def with_correction(correction: Correction, estimate: Estimate) -> Estimate:
    """An estimate from the corrected utilities, with the error that the correction leaves.

    It is the covariance of the values over posterior draws of the correction.
    """
    if estimate.operator is None:
        raise InputError(
            "the estimator is not linear in the utilities: it cannot say what a correction leaves",
            where="valuation.estimator",
            do="use another, or set fidelity.retrain to 0",
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
        return np.asarray(self.variance * RBF(self.length)(a, b))

    def full(self, a: Floats) -> Floats:
        return self.smooth(a, a) + (self.noise + 1e-9) * np.eye(len(a))


def _fit(x: Floats, y: Floats) -> _Kernel:
    """The kernel of the largest marginal likelihood."""
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * RBF(3.0, (0.5, 50.0))
    model = GaussianProcessRegressor(kernel + WhiteKernel(0.01, (1e-4, 1.0)))
    with warnings.catch_warnings():  # a length at its bound is an answer too
        warnings.simplefilter("ignore")
        model.fit(x, y)
    parts = model.kernel_.get_params()
    return _Kernel(
        parts["k1__k1__constant_value"], parts["k1__k2__length_scale"], parts["k2__noise_level"]
    )


def _deviations(
    kernel: _Kernel, x: Floats, known: NDArray[np.int_], factor: tuple[Floats, bool], seed: int
) -> Floats:
    """Draws from the posterior less its mean `(DRAWS, m)`: a draw from the prior, less what the
    retrained coalitions would have said of it (Matheron's rule, Wilson et al. 2020), the prior by
    random Fourier features.
    """
    rng = np.random.default_rng(seed)
    sampler = RBFSampler(gamma=0.5 / kernel.length**2, n_components=FOURIER, random_state=seed)
    waves = sampler.fit_transform(x) * np.sqrt(kernel.variance)
    prior = rng.standard_normal((DRAWS, FOURIER)) @ waves.T
    seen = prior[:, known] + np.sqrt(kernel.noise) * rng.standard_normal((DRAWS, len(known)))
    told: Floats = linalg.cho_solve(factor, seen.T).T @ kernel.smooth(x[known], x)
    deviations: Floats = prior - told
    return deviations


def _features(plan: Coalitions, shares: Floats, unlearned: Floats) -> Floats:
    """What the residual depends on `(m, features)`: how much is kept, what unlearning says, who
    stays, and who stays among how many.
    """
    n = plan.shape[1]
    columns = [shares, shares**2, np.exp(-shares / 0.1), np.exp(-shares / 0.3), unlearned]
    table = np.stack(columns, axis=1)
    spread = table.std(axis=0)
    table = 3 * (table - table.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    member = plan.astype(float)
    per_size = (member / member.sum(axis=1, keepdims=True) - 1 / n) * np.sqrt(n)
    return np.hstack([table, member - 0.5, per_size])
