"""Which coalitions to retrain, so that they say most about the values for what they cost.

The process of `unshapley.fidelity.residuals` has a covariance before anything is known: of the
residuals of coalitions with one another, and with the errors of the values. A retraining takes away
a part of the values' variance that can be told ahead, whatever it will show. Taken one after the
other, each the one that takes away most for its cost (greedy Bayesian design: Chaloner, Verdinelli,
"Bayesian experimental design: a review", Statistical Science 1995, section 2.2), they err less than
as many drawn by their weight (benchmarks/README.md, `auto`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unshapley.config import CalibrationSettings
from unshapley.errors import InputError
from unshapley.estimators.base import Floats, Ints
from unshapley.fidelity.correction import FEWEST
from unshapley.fidelity.residuals import (
    ResidualProcess,
    drawn_by_weight,
    operator_by_size,
    value_weights,
)
from unshapley.game.coalitions import Coalitions
from unshapley.game.game import Game
from unshapley.game.kept import kept_rows
from unshapley.numerics import one_thread
from unshapley.unlearning.auto import rows_kept

COST = 0.5
"""Power of the cost that a gain is divided by. By the cost itself (1) hardly any but the smallest
coalitions are taken, which say little of how well large ones are forgotten; without it (0) fewer
are paid for (benchmarks/README.md)."""
LOTS = 1e-6
"""Relative size of the lots by which equal gains are told apart: far more than rounding."""
LEAST = 8
"""Fewest coalitions that are retrained to choose by."""
BORDER = 8
"""Retrained anyway, the largest of the smallest coalitions: the candidates are tried on them too,
which costs little and says much of where few rows are kept."""
POOL = 1000
"""Most coalitions that those to retrain are chosen from; of a larger plan they are drawn by the
weight that their size has in the values."""
MOST = 200
"""Most coalitions that a share pays for: more would hardly change the choice, and what is learnt
from k coalitions takes time that grows with the plan times k."""
WHERE = "calibration.share"

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Budget:
    """How many coalitions are taken.

    least: so many whatever they cost; most: no more; cost: what all may cost together, else.
    """

    least: int
    most: int
    cost: float


@one_thread()
def most_telling(
    process: ResidualProcess, known: Ints, choice: Ints, costs: Floats, budget: Budget, seed: int
) -> Ints:
    """Rows of the process to retrain, in the order in which they are taken.

    known: rows whose residuals are known anyway; choice: rows to choose from `(k,)`; costs: of
    retraining each `(k,)`; seed: of the lots between equals.
    """
    rows = np.concatenate([choice, known])
    covariance, cross = process.prior(rows)
    for row in range(len(choice), len(rows)):
        _condition(covariance, cross, row)
    covariance, cross = covariance[: len(choice), : len(choice)], cross[:, : len(choice)]
    lots = 1 + LOTS * np.random.default_rng(seed).random(len(choice))
    worth = lots / costs**COST
    open_, spent = np.ones(len(choice), dtype=bool), 0.0
    taken: list[int] = []
    while len(taken) < budget.most:
        if len(taken) >= budget.least:
            open_ &= spent + costs <= budget.cost
        if not open_.any():
            break
        gain = (cross**2).sum(axis=0) / np.diag(covariance) * worth
        best = int(np.argmax(np.where(open_, gain, -np.inf)))
        taken.append(best)
        open_[best] = False
        spent += costs[best]
        _condition(covariance, cross, best)
    return choice[taken]


def _condition(covariance: Floats, cross: Floats, row: int) -> None:
    """Take away in place what the residual at `row` says of the others and of the values.

    covariance: of the residuals `(k, k)`; cross: with the errors of the values `(n, k)`.
    """
    of_row, variance = covariance[row].copy(), covariance[row, row]
    cross -= np.outer(cross[:, row] / variance, of_row)
    covariance -= np.outer(of_row / variance, of_row)
    # what is known is never taken again, and stays divisible
    covariance[row, row] = variance


class Unlearned:
    """The coalitions of a plan `(m, n)` that the unlearner does not retrain itself, and the largest
    of the others, on which candidates are tried too.

    rows: their indices in the plan, ascending; border: those of the others; operator: `(n, m)`.
    """

    def __init__(self, game: Game, plan: Coalitions, exact: Mask) -> None:
        self.plan, self.exact = plan, exact
        others = np.flatnonzero(exact)
        kept = rows_kept(game.pretrained, game.staying(plan[others])).cpu().numpy()
        self.border = others[np.argsort(kept, kind="stable")][-BORDER:]
        self.rows = np.union1d(np.flatnonzero(~exact), self.border)
        part = plan[self.rows]
        self._kept = kept_rows(game, part)
        self.operator = operator_by_size(plan)
        self._processes: dict[bool, ResidualProcess] = {}

    def process(self, *, vanishing: bool = True) -> ResidualProcess:
        """Of the residuals at `rows`, before utilities are measured."""
        if vanishing not in self._processes:
            self._processes[vanishing] = ResidualProcess(
                self.plan[self.rows],
                self._kept,
                np.zeros(len(self.rows)),
                self.operator[:, self.rows],
                vanishing=vanishing,
            )
        return self._processes[vanishing]

    def expected_error(self, rows: Ints, residuals: Floats, *, vanishing: bool) -> float:
        """Of the values, after correction, from residuals at the rows `(k,)` of the plan."""
        process = self.process(vanishing=vanishing)
        found = process.posterior(np.searchsorted(self.rows, rows), residuals, draws=200, seed=0)
        known = np.isin(self.rows, np.union1d(self.border, rows))
        errors = np.where(known, 0.0, found.draws - found.mean) @ process.operator.T
        return float(np.sqrt(errors.var(axis=0).sum()))


def coalitions_to_retrain(
    unlearned: Unlearned, costs: Floats, settings: CalibrationSettings
) -> Ints:
    """Coalitions to retrain, ascending: those that say most about the values for their cost.

    costs: of retraining each coalition of the plan `(m,)`.
    """
    count = settings.coalitions
    weight, open_ = value_weights(unlearned.operator), np.flatnonzero(~unlearned.exact)
    pool = drawn_by_weight(weight, open_, settings.seed)[: max(POOL, count or 0)]
    paid = costs[pool] / costs.sum()
    budget = Budget(LEAST, MOST, settings.share)
    if count is not None:
        _check_enough(count, paid)
        budget = Budget(count, count, 1.0)
    choice = np.searchsorted(unlearned.rows, pool)
    known = np.searchsorted(unlearned.rows, unlearned.border)
    taken = most_telling(unlearned.process(), known, choice, paid, budget, settings.seed)
    return np.sort(unlearned.rows[taken])


def _check_enough(count: int, paid: Floats) -> None:
    if count >= FEWEST:
        return
    raise InputError(
        f"{count} coalitions are too few to choose an unlearner by",
        where="calibration.coalitions",
        expected=f"at least {FEWEST}, or none for {WHERE}; {LEAST} take about "
        f"{paid[:LEAST].sum():.1%} of what retraining the plan takes",
        do="raise it, or name an unlearner in valuation.unlearner",
    )
