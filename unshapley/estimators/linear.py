"""Estimates that are linear in the utilities, and their errors by jackknife."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special

from unshapley.estimators.base import NORMAL, SAMPLING, Estimate, Floats, Plan
from unshapley.game.coalitions import Coalitions

Operator = Callable[[Coalitions], Floats]
"""Measured coalitions `(m, n)` → matrix `(n, m + 2)` that maps the table to the values."""
Ints = NDArray[np.int64]

HISTORY = 12
GROUPS = 20
"""Groups of the jackknife: so many that Student's quantile is near the normal one."""
PER_PROVIDER = 4
"""Fewest coalitions per provider for these estimators."""


def linear_estimate(plan: Plan, table: Floats, operator_of: Operator, unit: int) -> Estimate:
    """Estimate with covariance by `jackknife`; unit: coalitions per draw (2: pairs)."""
    operator = operator_of(plan.coalitions)
    steps = history_steps(plan.n, len(plan.coalitions), unit)
    history = [operator_of(plan.coalitions[:k]) @ table_of_first(table, k) for k in steps]
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

    Delete-group jackknife (Wolter, "Introduction to variance estimation", 2007, chapter 4): draws
    of `unit` coalitions each are assigned to groups at random, and the estimate is repeated without
    each group. With `finite`, the sampling is treated as one without replacement: sizes that are
    measured in full have no sampling error and are never left out, and the covariance is multiplied
    by the share of unmeasured coalitions among the other sizes. Set it to False for an estimator
    that is not exact even from all coalitions.
    """
    n = coalitions.shape[1]
    all_sizes = np.ones(n + 1, dtype=bool), 1.0
    sampled_size, unmeasured = _sampled_sizes(coalitions) if finite else all_sizes
    sampled = np.flatnonzero(sampled_size[coalitions.sum(axis=1)])
    draws, draw_of = np.unique(sampled // unit, return_inverse=True)
    if unmeasured == 0:
        return np.zeros((n, n)), NORMAL
    if len(draws) < 2:
        return np.full((n, n), np.nan), float("nan")
    count = min(GROUPS, len(draws))
    group = np.random.default_rng(0).permutation(len(draws))[draw_of] % count
    values = []
    for g in range(count):
        kept = np.ones(len(coalitions), dtype=bool)
        kept[sampled[group == g]] = False
        values.append(operator_of(coalitions[kept]) @ table[np.r_[True, kept, True]])
    deviation = np.array(values) - np.mean(values, axis=0)
    covariance = unmeasured * (count - 1) / count * deviation.T @ deviation
    return covariance, float(special.stdtrit(count - 1, 0.975))


def _sampled_sizes(coalitions: Coalitions) -> tuple[NDArray[np.bool_], float]:
    """Which sizes 0 … n are not measured in full, and the share of their coalitions that is not."""
    n = coalitions.shape[1]
    measured = np.bincount(coalitions.sum(axis=1), minlength=n + 1)
    number = special.binom(n, np.arange(n + 1))
    sampled = measured < number
    sampled[[0, -1]] = False
    if not sampled.any():
        return sampled, 0.0
    return sampled, float(1 - measured[sampled].sum() / number[sampled].sum())


def efficient(operator: Floats) -> Floats:
    """The nearest values that sum to U(all) − U(none): the difference is shared equally (additive
    efficient normalisation; Ruiz, Valenciano, Zarzuelo 1998).
    """
    target = np.zeros(operator.shape[1])
    target[0], target[-1] = -1, 1
    out: Floats = operator + (target - operator.sum(axis=0)) / len(operator)
    return out


def history_steps(n: int, m: int, unit: int) -> Ints:
    """About a dozen counts of coalitions: multiples of `unit`, and m as the last."""
    steps = np.linspace(min(PER_PROVIDER * n, m), m, HISTORY).astype(np.int64) // unit * unit
    return np.unique(np.append(steps, m))


def table_of_first(table: Floats, k: int) -> Floats:
    """The table of the first k coalitions: empty coalition, these, full coalition."""
    return np.concatenate([table[: k + 1], table[-1:]])
