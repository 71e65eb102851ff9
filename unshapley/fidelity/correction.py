"""Correction of unlearned utilities by a few real retrainings.

The residual, retrained minus unlearned utility, is learnt from the retrained coalitions by the
process that also judges unlearning (`unshapley.fidelity.residuals`), and what is expected of it is
added to the utilities of all others (the two-level model of Kennedy and O'Hagan, "Predicting the
output from a complex computer code when fast approximations are available", Biometrika 2000). Its
remaining uncertainty is part of the standard errors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from unshapley.errors import InputError
from unshapley.estimators import CORRECTION, Estimate
from unshapley.fidelity.residuals import ResidualProcess, operator_by_size
from unshapley.game.coalitions import Coalitions
from unshapley.game.kept import Kept
from unshapley.numerics import one_thread

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEWEST = 4
"""Fewest retrained coalitions from which a correction can be learnt."""
DRAWS = 200
"""Number of draws from the posterior."""


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


def correct(
    plan: Coalitions,
    kept: Kept,
    unlearned: Floats,
    retrained: tuple[Ints, Floats],
    exact: NDArray[np.bool_],
    seed: int,
    *,
    vanishing: bool = True,
) -> Correction:
    """Learn the residual from the retrained coalitions and add what is expected to all others.

    plan: `(m, n)`; kept: what each coalition keeps of the training rows; unlearned: utilities
    `(m,)`; retrained: indices of retrained coalitions, ascending, and their utilities
    `(k,)`; exact: coalitions whose `unlearned` utility comes from retraining already `(m,)`. One
    may be both, where its utility is the unlearned one; then it is learnt from too. vanishing:
    whether the residual vanishes where nobody is forgotten, as `Unlearner.vanishes` says. Raises
    `InputError` for fewer than four retrained coalitions.
    """
    rows, truth = retrained
    if (exact.sum() + (~exact[rows]).sum()) == len(exact):  # every utility is known by retraining
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
    unknown = ~exact
    unknown[rows] = True
    part = np.flatnonzero(unknown)
    process = ResidualProcess(
        plan[part],
        kept[part],
        unlearned[part],
        operator_by_size(plan)[:, part],
        vanishing=vanishing,
    )
    residuals = truth - unlearned[rows]
    found = process.posterior(np.searchsorted(part, rows), residuals, DRAWS, seed)
    corrected, draws = unlearned.copy(), np.tile(unlearned, (len(found.draws), 1))
    corrected[part] += found.mean
    draws[:, part] += found.draws
    corrected[rows] = draws[:, rows] = truth
    return Correction(corrected, draws, truth - found.left_out)


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
