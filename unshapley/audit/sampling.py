"""Which coalitions an audit measures again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from unshapley.audit.recorded import RecordedValuation
from unshapley.estimators import Estimate
from unshapley.estimators.base import Floats, Ints
from unshapley.estimators.posterior import posterior
from unshapley.fidelity.comparison import linear_map
from unshapley.numerics import one_thread

RANDOM, HEAVY, ODDEST, ODD = (
    "random", "most weight in the values", "worst predicted", "badly predicted",
)  # fmt: skip
SHARES = {RANDOM: 0.45, HEAVY: 0.05, ODDEST: 0.1, ODD: 0.4}
"""Parts of a sample. A few large forgeries are found by the second and third, many small ones by
the first. Who knows the rule stays out of the coalitions that are predicted worst by changing 25 to
40 of 1,000, each of them predicted worse than most: those the fourth finds, where chance decides
(measured: benchmarks/README.md)."""
SURE = 0.95
"""Probability with which what is surely found is found."""
FITTED = 1000
"""Most coalitions that the predicting process is fitted to: its cost grows with their cube."""


@dataclass(frozen=True)
class Sample:
    """Rows of the plan, ascending `(k,)`, and why each was taken `(k,)`."""

    rows: Ints
    why: tuple[str, ...]

    def count(self, why: str) -> int:
        return self.why.count(why)


def draw(recorded: RecordedValuation, values: Estimate, count: int, seed: int) -> Sample:
    """Some at random by the auditor's seed, some of those with most weight in the values, those
    whose utility the others predict worst, by what that does to the values, and some of those that
    they predict badly, at random by the square of it: see `SHARES`.

    values: estimated from the recorded utilities.
    """
    m = len(recorded.coalitions)
    rng = np.random.default_rng(seed)
    weight = np.linalg.norm(linear_map(recorded.plan, recorded.table, values)[:, 1:-1], axis=0)
    surprise = np.abs(unexpected(recorded, rng)) * weight
    orders = {
        ODDEST: np.argsort(-surprise),
        HEAVY: np.argsort(-weight),
        ODD: by_chance(surprise**2, rng),
        RANDOM: rng.permutation(m),
    }
    taken: dict[int, str] = {}
    for why, order in orders.items():
        wanted = count - len(taken) if why == RANDOM else round(SHARES[why] * count)
        new = [int(row) for row in order if int(row) not in taken][:wanted]
        taken |= dict.fromkeys(new, why)
    rows = np.array(sorted(taken), dtype=np.int64)
    return Sample(rows, tuple(taken[int(row)] for row in rows))


def by_chance(weights: Floats, rng: np.random.Generator) -> Ints:
    """All indices, drawn without putting back with chances in proportion to the weights `(m,)`.

    By exponential clocks (Efraimidis, Spirakis 2006).
    """
    logarithms = np.log(np.maximum(weights, np.finfo(float).tiny))
    out: Ints = np.argsort(np.log(rng.exponential(size=len(weights))) - logarithms)
    return out


@one_thread()
def unexpected(recorded: RecordedValuation, rng: np.random.Generator) -> Floats:
    """Recorded utility of each coalition of the plan less what a Gaussian process expects of it
    from others `(m,)`: from all others of those it is fitted to, else from these.
    """
    utilities, m = recorded.table[1:-1], len(recorded.coalitions)
    fitted: NDArray[np.int64] = np.arange(m)
    if m > FITTED:
        fitted = np.sort(rng.choice(m, FITTED, replace=False))
    process = posterior(recorded.coalitions[fitted], utilities[fitted])
    weights = process.solve(process.residual)
    out = np.empty(m)
    others = np.setdiff1d(np.arange(m), fitted)
    out[fitted] = process.scale * weights / np.diag(process.precision)
    if len(others):
        cross = process.kernel.gram(recorded.coalitions[others], recorded.coalitions[fitted])
        expected = utilities[fitted].mean() + process.scale * cross @ weights
        out[others] = utilities[others] - expected
    return out


def surely_found(m: int, drawn: int) -> int:
    """Fewest forged coalitions of which `drawn` of `m`, at random, hold one in 95 % of cases."""
    return next(forged for forged in range(1, m + 1) if chance(m, forged, drawn) >= SURE)


def chance(m: int, forged: int, drawn: int) -> float:
    """Probability that `drawn` of `m` coalitions, taken at random, hold one of the `forged`."""
    if drawn > m - forged:
        return 1.0
    missed = special.gammaln([m - forged + 1, m - forged - drawn + 1, m + 1, m - drawn + 1])
    return float(1 - np.exp(missed[0] - missed[1] - missed[2] + missed[3]))
