"""Estimates by a matrix that depends on the coalitions alone, and their errors by jackknife."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from unshapley.estimators.base import NORMAL, SAMPLING, Estimate, Floats, Plan
from unshapley.game.coalitions import Coalitions

Operator = Callable[[Coalitions], Floats]
"""Measured coalitions `(m, n)` → what the values are of the utilities `(n, m + 2)`."""
Ints = NDArray[np.int64]

HISTORY = 12
GROUPS = 20
"""Of the jackknife: enough that Student's quantile is near the normal one."""
PER_PROVIDER = 4
"""Coalitions a provider that these estimators need."""


def linear_estimate(plan: Plan, table: Floats, operator_of: Operator, unit: int) -> Estimate:
    """Values, history, operator, and covariance by `jackknife`; unit: coalitions drawn together."""
    operator = operator_of(plan.coalitions)
    steps = history_steps(plan.n, len(plan.coalitions), unit)
    history = [operator_of(plan.coalitions[:k]) @ first(table, k) for k in steps]
    covariance, quantile = jackknife(plan.coalitions, table, operator_of, unit)
    return Estimate(
        operator @ table, {SAMPLING: covariance}, np.array(history), steps, operator, quantile
    )


def jackknife(
    coalitions: Coalitions,
    table: Floats,
    operator_of: Operator,
    unit: int,
    *,
    finite: bool = True,
) -> tuple[Floats, float]:
    """Covariance `(n, n)` of the values, and Student's quantile at 97.5 % for it.

    Delete-group jackknife (Wolter, "Introduction to variance estimation", 2007, chapter 4): units
    of coalitions drawn together are dealt out to groups at random, and the estimate is made again
    without each group. Sizes of which every coalition is measured have no sampling error and stay
    in; of the others it is scaled by the share that is not measured, as they were drawn without
    replacement. Neither without `finite`: where measuring all leaves an error.
    """
    everywhere = np.ones(coalitions.shape[1] + 1, dtype=bool), 1.0
    open_size, unmeasured = _open(coalitions) if finite else everywhere
    member = np.flatnonzero(open_size[coalitions.sum(axis=1)])
    units, place = np.unique(member // unit, return_inverse=True)
    n = coalitions.shape[1]
    if unmeasured == 0:
        return np.zeros((n, n)), NORMAL
    if len(units) < 2:
        return np.full((n, n), np.nan), float("nan")
    count = min(GROUPS, len(units))
    group = np.random.default_rng(0).permutation(len(units))[place] % count
    values = []
    for g in range(count):
        stays = np.ones(len(coalitions), dtype=bool)
        stays[member[group == g]] = False
        values.append(operator_of(coalitions[stays]) @ table[np.r_[True, stays, True]])
    deviation = np.array(values) - np.mean(values, axis=0)
    covariance = unmeasured * (count - 1) / count * deviation.T @ deviation
    return covariance, float(stats.t.ppf(0.975, count - 1))


def _open(coalitions: Coalitions) -> tuple[NDArray[np.bool_], float]:
    """Which sizes 0 … n are not measured in full, and which share of their coalitions is not."""
    n = coalitions.shape[1]
    measured = np.bincount(coalitions.sum(axis=1), minlength=n + 1)
    number = special.binom(n, np.arange(n + 1))
    open_size = measured < number
    open_size[[0, -1]] = False
    if not open_size.any():
        return open_size, 0.0
    return open_size, float(1 - measured[open_size].sum() / number[open_size].sum())


def efficient(operator: Floats) -> Floats:
    """The nearest values that sum to U(all) − U(none): what is missing is shared equally (additive
    efficient normalisation; Ruiz, Valenciano, Zarzuelo 1998).
    """
    target = np.zeros(operator.shape[1])
    target[0], target[-1] = -1, 1
    out: Floats = operator + (target - operator.sum(axis=0)) / len(operator)
    return out


def history_steps(n: int, m: int, unit: int) -> Ints:
    """About a dozen counts of coalitions, whole units but for the last, which is all."""
    steps = np.linspace(min(PER_PROVIDER * n, m), m, HISTORY).astype(np.int64) // unit * unit
    return np.unique(np.append(steps, m))


def first(table: Floats, k: int) -> Floats:
    """The table of the first k coalitions: nobody, they, everybody."""
    return np.concatenate([table[: k + 1], table[-1:]])
