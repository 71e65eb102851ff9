"""A covariance of utilities that depends on counts only, so that semivalues have a closed form.

For coalitions S, T of s and t providers, c of them in both,

    k(S, T) = P[s, t] + c · Q[s, t] + exp(R[s, t] + c · G[s, t])

which no renaming of providers changes. Its three parts are a smooth function of the size (learning
curve), contributions of single providers, alone and as a share of the coalition, and a
squared-exponential over size, members and members as a share: whatever else is smooth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import optimize, special
from torch import Tensor

from unshapley.game.coalitions import Coalitions

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_START = np.log([1.0, 1.0, 2.0, 3.0, 1.0, 1.0, 1.0, 0.5, 1e-3])
_LOW = np.log([1e-4, 0.1, 0.3, 0.3, 1e-6, 1e-6, 1e-4, 0.03, 1e-6])
_HIGH = np.log([1e3, 50.0, 50.0, 50.0, 1e3, 1e3, 1e3, 50.0, 0.5])
"""Logarithms, for standardised utilities, of: variance of the smooth part and its lengths in size,
members and shares; variances of members, of shares, of the size part, the length of that; noise."""
_TIGHT = 0.05
"""How strongly they are held at the start."""
JITTER = 1e-8
FITTED_ON = 400
"""Coalitions that choose them: more cost much and say little."""


@dataclass(frozen=True)
class CountKernel:
    """The four tables by sizes `(n + 1, n + 1)`, and the variance of the noise."""

    n: int
    p: Floats
    q: Floats
    r: Floats
    g: Floats
    noise: float

    def gram(self, a: Coalitions, b: Coalitions) -> Floats:
        """Covariance of the utilities of coalitions `(k, n)`, `(m, n)` → `(k, m)`, no noise."""
        both = a.astype(np.float64) @ b.T.astype(np.float64)
        rows, columns = a.sum(axis=1), b.sum(axis=1)
        # columns first: then a row of the table is copied as a whole
        smooth: Floats = self.g[:, columns][rows]
        smooth *= both
        smooth += self.r[:, columns][rows]
        np.exp(smooth, out=smooth)
        both *= self.q[:, columns][rows]
        smooth += both
        smooth += self.p[:, columns][rows]
        return smooth

    def mean(self, s: Ints, t: int, rest: tuple[int, Ints, int], fixed: int) -> Floats:
        """Mean covariance of a coalition T of t with a random S of each size `(sizes,)`.

        rest: (players whose membership in S is random, how many of them S takes `(sizes,)`, how
        many of them T has); fixed: providers that S and T have in common for certain.
        """
        free, taken, have = rest
        c = np.arange(have + 1)
        chance = _hypergeometric(free, have, taken, c)
        both = c + fixed
        k = self.p[s, t, None] + self.q[s, t, None] * both
        k += np.exp(self.r[s, t, None] + self.g[s, t, None] * both)
        out: Floats = (chance * k).sum(axis=1)
        return out


def fit(coalitions: Coalitions, utilities: Floats) -> CountKernel:
    """The kernel of the largest posterior probability of standardised utilities `(m,)`."""
    x, y = coalitions[:FITTED_ON], torch.from_numpy(utilities[:FITTED_ON].copy())
    n, size = x.shape[1], torch.from_numpy(x.sum(axis=1))
    both = torch.from_numpy(x.astype(np.float64) @ x.T.astype(np.float64))
    unit = torch.eye(len(y), dtype=torch.float64)
    start = torch.from_numpy(_START)
    rows, columns = size[:, None], size[None, :]

    def loss(theta: Floats) -> tuple[float, Floats]:
        at = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
        p, q, r, g = (table[rows, columns] for table in _tables(at, n))
        covariance = p + both * q + torch.exp(r + both * g) + (at[-1].exp() + JITTER) * unit
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if failed > 0:
            return 1e10, np.zeros(len(theta))
        fitted = 0.5 * y @ torch.cholesky_solve(y[:, None], factor)[:, 0]
        value = fitted + factor.diagonal().log().sum() + _TIGHT * (at - start).square().sum()
        value.backward()
        assert at.grad is not None
        return value.item(), at.grad.numpy()

    bounds = list(zip(_LOW, _HIGH, strict=True))
    found = optimize.minimize(
        loss, _START, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60}
    )
    theta = torch.from_numpy(found.x)
    p, q, r, g = (table.numpy() for table in _tables(theta, n))
    return CountKernel(n, p, q, r, g, float(theta[-1].exp()) + JITTER)


def _tables(theta: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """P, Q, R, G for the sizes 0 … n; those of nobody and everybody are not used."""
    smooth, by_size, by_member, by_share, members, shares, sizes, length, _ = theta.exp()
    s = torch.arange(n + 1, dtype=torch.float64).clamp(min=1)
    a, one = s / n, 1 / s
    features = torch.stack([a, a**2, (-a / 0.1).exp(), (-a / 0.3).exp()], dim=1)
    apart = 4 * (features[:, None] - features[None]).square().sum(dim=2)
    product = s[:, None] * s[None]
    # members differ by s + t − 2c, members as a share of their coalition by n (1/s + 1/t − 2c/st)
    wide, narrow = 2 / n / by_member**2, 0.5 * n / by_share**2
    r = smooth.log() - 0.5 * apart / by_size**2
    r = r - wide * (s[:, None] + s[None]) - narrow * (one[:, None] + one[None])
    g = 2 * wide + 2 * narrow / product
    p = sizes * (-0.5 * apart / length**2).exp() - 4 * members * product / n**2 - 0.1 * shares
    q = 4 * members / n + 0.1 * shares * n / product
    return p, q.expand_as(p), r, g.expand_as(p)


def _hypergeometric(total: int, marked: int, drawn: Ints, found: Ints) -> Floats:
    """Probability of so many marked ones among those drawn `(len(drawn), len(found))`."""
    k, m = found[None, :], drawn[:, None]
    possible = (k <= m) & (m - k <= total - marked)
    k = np.where(possible, k, 0)
    m_k = np.where(possible, m - k, 0)
    log = _log_binomial(marked, k) + _log_binomial(total - marked, m_k)
    log = log - _log_binomial(total, m)
    out: Floats = np.where(possible, np.exp(log), 0.0)
    return out


def _log_binomial(n: int, k: Ints) -> Floats:
    lgamma = special.gammaln(np.arange(n + 2, dtype=np.float64) + 1)
    out: Floats = lgamma[n] - lgamma[k] - lgamma[n - k]
    return out
