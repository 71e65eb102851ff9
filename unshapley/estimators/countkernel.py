"""A covariance of utilities that depends on counts only, so that semivalues have a closed form.

For coalitions S, T of s and t providers, c of them in both,

    k(S, T) = P[s, t] + c · Q[s, t] + exp(R[s, t] + c · G[s, t])

It is invariant under permutations of the providers. It is the sum of three kernels: one over the
size (a learning curve), a linear one over the members and over members / size (contributions of
single providers), and a squared-exponential one over size, members and members / size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import optimize
from torch import Tensor

from unshapley.game.coalitions import Coalitions

Floats = NDArray[np.float64]

_START = np.log([1.0, 1.0, 2.0, 3.0, 1.0, 1.0, 1.0, 0.5, 1e-3])
_LOW = np.log([1e-4, 0.1, 0.3, 0.3, 1e-6, 1e-6, 1e-4, 0.03, 1e-6])
_HIGH = np.log([1e3, 50.0, 50.0, 50.0, 1e3, 1e3, 1e3, 50.0, 0.5])
"""Logarithms of the hyperparameters, for standardised utilities: variance of the
squared-exponential kernel and its length scales in size, members and members / size; variances of
the linear kernels over members and over members / size; variance and length scale of the kernel
over the size; variance of the noise."""
HYPERPARAMETERS = len(_START)
_PRIOR_WEIGHT = 0.05
"""Weight of the penalty on the squared distance from the start values."""
JITTER = 1e-8
FITTED_ON = 400
"""Coalitions that the hyperparameters are fitted to: more cost much and change little."""


@dataclass(frozen=True, eq=False)  # the same object is the same kernel
class CountKernel:
    """The tables P, Q, R, G by sizes `(n + 1, n + 1)`, and the variance of the noise by size
    `(n + 1,)`.
    """

    n: int
    p: Floats
    q: Floats
    r: Floats
    g: Floats
    noise: Floats

    def gram(self, a: Coalitions, b: Coalitions) -> Floats:
        """Noise-free covariance `(k, m)` of the utilities of coalitions `(k, n)` and `(m, n)`."""
        common = a.astype(np.float64) @ b.T.astype(np.float64)
        rows, columns = a.sum(axis=1), b.sum(axis=1)
        # columns first is faster: whole rows are copied afterwards
        smooth: Floats = self.g[:, columns][rows]
        smooth *= common
        smooth += self.r[:, columns][rows]
        np.exp(smooth, out=smooth)
        common *= self.q[:, columns][rows]
        smooth += common
        smooth += self.p[:, columns][rows]
        return smooth


def fit(coalitions: Coalitions, utilities: Floats, amplitude: Floats) -> CountKernel:
    """The maximum a posteriori kernel for standardised utilities `(m,)`.

    amplitude: by size of the coalition `(n + 1,)`, what the deviations of utilities from the mean
    of their size are multiplied by; ones where all sizes deviate alike.
    """
    x, y = coalitions[:FITTED_ON], torch.from_numpy(utilities[:FITTED_ON].copy())
    n, size = x.shape[1], torch.from_numpy(x.sum(axis=1))
    common = torch.from_numpy(x.astype(np.float64) @ x.T.astype(np.float64))
    start = torch.from_numpy(_START)
    rows, columns = size[:, None], size[None, :]
    scale = torch.from_numpy(amplitude)

    def loss(theta: Floats) -> tuple[float, Floats]:
        point = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
        p, q, r, g = (table[rows, columns] for table in _tables(point, scale))
        noise = point[-1].exp() * scale[size] ** 2 + JITTER
        covariance = p + common * q + torch.exp(r + common * g) + torch.diag(noise)
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if failed > 0:
            return 1e10, np.zeros(len(theta))
        misfit = 0.5 * y @ torch.cholesky_solve(y[:, None], factor)[:, 0]
        penalty = _PRIOR_WEIGHT * (point - start).square().sum()
        value = misfit + factor.diagonal().log().sum() + penalty
        value.backward()
        assert point.grad is not None
        return value.item(), point.grad.numpy()

    bounds = list(zip(_LOW, _HIGH, strict=True))
    optimum = optimize.minimize(
        loss, _START, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60}
    )
    theta = torch.from_numpy(optimum.x)
    p, q, r, g = (table.numpy() for table in _tables(theta, scale))
    noise = float(theta[-1].exp()) * amplitude**2 + JITTER
    return CountKernel(n, p, q, r, g, noise)


def _tables(theta: Tensor, amplitude: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """P, Q, R, G for the sizes 0 … n; entries for the sizes 0 and n are not used."""
    smooth, size_scale, member_scale, share_scale, members, shares, sizes, length, _ = theta.exp()
    n = len(amplitude) - 1
    s = torch.arange(n + 1, dtype=torch.float64).clamp(min=1)
    a, inverse = s / n, 1 / s
    features = torch.stack([a, a**2, (-a / 0.1).exp(), (-a / 0.3).exp()], dim=1)
    distance = 4 * (features[:, None] - features[None]).square().sum(dim=2)
    product = s[:, None] * s[None]
    # squared distances: s + t − 2c of members, n (1/s + 1/t − 2c/st) of members / size
    by_members, by_shares = 2 / n / member_scale**2, 0.5 * n / share_scale**2
    r = smooth.log() - 0.5 * distance / size_scale**2
    r = r - by_members * (s[:, None] + s[None]) - by_shares * (inverse[:, None] + inverse[None])
    g = 2 * by_members + 2 * by_shares / product
    both = amplitude[:, None] * amplitude[None]
    p = sizes * (-0.5 * distance / length**2).exp()
    p = p - both * (4 * members * product / n**2 + 0.1 * shares)
    q = both * (4 * members / n + 0.1 * shares * n / product)
    return p, q, r + both.log(), g.expand_as(p)
