"""Which coalitions are retrained to check unlearning, and what that implies for the values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unshapley.estimators import Estimate, Plan, estimate
from unshapley.estimators.base import Floats, Ints
from unshapley.estimators.gaussian_process import HELD
from unshapley.fidelity.correction import Correction
from unshapley.fidelity.gate import Fidelity, check_fidelity
from unshapley.fidelity.implied import implied_errors
from unshapley.fidelity.residuals import ResidualProcess, drawn_by_weight, value_weights
from unshapley.game.coalitions import Coalitions, everybody, nobody
from unshapley.game.game import Game
from unshapley.game.kept import Kept, kept_rows
from unshapley.unlearning.base import Unlearner

MOST = 500
"""Most coalitions that are retrained, whatever they cost: more would say little that is new."""
AFFORDABLE = 0.5
"""Retraining more coalitions goes on below this share of the work of measuring."""


@dataclass(frozen=True)
class Retrained:
    """Coalitions that were retrained.

    rows: of the table of utilities `(k,)`; utilities: `(k,)`; other_seed: of the first of them,
    retrained with another seed; it may be empty.
    """

    rows: Ints
    utilities: Floats
    other_seed: Floats


@dataclass(frozen=True)
class UnlearnedValues:
    """Values of n players, and how they depend on what was unlearned.

    coalitions: the empty coalition, the plan's, and the full one `(m + 2, n)`; kept: what each
    keeps of the training rows; utilities: as measured `(m + 2,)`; unlearned: whether a utility came
    from unlearning, and not from retraining `(m + 2,)`; value: `(n,)`; operator: the matrix
    `(n, m + 2)` by which values depend on the utilities; vanishing: as `Unlearner.vanishes`.
    """

    coalitions: Coalitions
    kept: Kept
    utilities: Floats
    unlearned: NDArray[np.bool_]
    value: Floats
    operator: Floats
    vanishing: bool = True

    def drawn(self, seed: int) -> Ints:
        """Rows of the unlearned coalitions in random order: those with more weight in the values
        tend to come first. Coalitions without weight are left out.
        """
        weight = value_weights(np.where(self.unlearned, self.operator, 0.0))
        return drawn_by_weight(weight, np.flatnonzero(weight), seed)

    def missed(self, retrained: Retrained, seed: int) -> Floats:
        """Errors of the values for what unlearning misses, drawn from a posterior `(draws, n)`."""
        part = np.flatnonzero(self.unlearned)
        residuals = retrained.utilities - self.utilities[retrained.rows]
        rows = np.searchsorted(part, retrained.rows)
        process = self._process(part, vanishing=self.vanishing)
        return process.value_errors(rows, residuals, seed)

    def seed_noise(self, retrained: Retrained, seed: int) -> Floats | None:
        """The same for what another seed of retraining changes; None if that was not tried."""
        count = len(retrained.other_seed)
        if not count:
            return None
        # U(all), and U(none) of a full game, are the recorded model's for every seed
        part = np.arange(0 if self.unlearned[0] else 1, len(self.utilities) - 1)
        changes = retrained.other_seed - retrained.utilities[:count]
        rows = np.searchsorted(part, retrained.rows[:count])
        return self._process(part, vanishing=False).value_errors(rows, changes, seed)

    def _process(self, rows: Ints, *, vanishing: bool) -> ResidualProcess:
        return ResidualProcess(
            self.coalitions[rows],
            self.kept[rows],
            self.utilities[rows],
            self.operator[:, rows],
            vanishing=vanishing,
        )


def compare(
    values: UnlearnedValues, retrained: Retrained, seed: int, correction: Correction | None = None
) -> Fidelity:
    """The verdict on values, from what retraining gives for a few coalitions.

    correction: what was learnt from them, if `values` were estimated from corrected utilities; then
    each retrained coalition is held against what it is corrected to by all others.
    """
    if correction is None:
        predicted, errors = values.utilities[retrained.rows], values.missed(retrained, seed)
    else:
        predicted = correction.left_out
        errors = (correction.draws - correction.corrected) @ values.operator[:, 1:-1].T
    return check_fidelity(
        values.coalitions[retrained.rows],
        retrained.utilities.tolist(),
        predicted.tolist(),
        float(values.utilities[-1]),
        implied=implied_errors(values.value, errors, values.seed_noise(retrained, seed)),
    )


def unlearned_values(
    game: Game,
    unlearner: Unlearner,
    exact: NDArray[np.bool_],
    plan: Plan,
    table: Floats,
    values: Estimate,
) -> UnlearnedValues:
    """Values with what they depend on.

    exact: coalitions of the plan that the unlearner retrained itself `(m,)`; table: utilities of
    the empty coalition, the plan's and the full coalition `(m + 2,)`; values: estimated from them.
    In a partial game the empty coalition was unlearned too, as others stay.
    """
    coalitions = np.vstack([nobody(plan.n), plan.coalitions, everybody(plan.n)])
    return UnlearnedValues(
        coalitions,
        kept_rows(game, coalitions),
        table,
        np.concatenate([[game.partial], ~exact, [False]]),
        values.value,
        linear_map(plan, table, values),
        unlearner.vanishes,
    )


def linear_map(plan: Plan, table: Floats, values: Estimate) -> Floats:
    """The matrix `(n, m + 2)` by which values depend on utilities.

    For an estimator that is not linear, that of the Gaussian process on the same coalitions.
    """
    if values.operator is not None:
        return values.operator
    held = Plan("gaussian_process", plan.coalitions[:HELD], "")
    operator = estimate(held, np.append(table[: len(held.coalitions) + 1], table[-1])).operator
    assert operator is not None
    unused = np.zeros((plan.n, len(table) - operator.shape[1]))
    return np.hstack([operator[:, :-1], unused, operator[:, -1:]])


def affordable(
    order: Ints, retraining: Floats, measuring: float, fewest: int, spent: float = 0.0
) -> Ints:
    """The first of `order`: `fewest`, and more for as long as they cost less than half of what
    measuring did. Work is counted, not timed, so that the choice can be repeated.

    retraining: work of each row of the table `(m + 2,)`; measuring: of all that was measured;
    spent: work of what was retrained before.
    """
    needed = spent + np.cumsum(retraining[order])
    paid = int((needed < AFFORDABLE * measuring).sum())
    return order[: max(fewest, min(paid, MOST))]
