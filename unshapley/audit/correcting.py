"""Learn the correction of a recorded valuation again.

It is learnt from what was retrained, which is recorded, and from what the unlearner gave for the
same coalitions. Where `auto` was calibrated the second is not recorded, and was measured again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unshapley.audit.recorded import RecordedValuation
from unshapley.estimators.base import Floats, Ints
from unshapley.fidelity.calibration import Calibration
from unshapley.fidelity.correction import FEWEST, Correction, choose, correct
from unshapley.game.game import Game
from unshapley.game.kept import kept_rows
from unshapley.numerics import one_thread
from unshapley.unlearning.auto import AutoUnlearner

SLACK = 3.0
"""A correction may differ by so many times what errors of one tolerance in each unlearned utility
that it is learnt from change of it."""


@dataclass(frozen=True)
class LearntAgain:
    """correction: what was learnt; applies: whether it is to be applied; tolerance: of each
    corrected utility `(m,)`.
    """

    correction: Correction
    applies: bool
    tolerance: Floats


def needs_candidate(recorded: RecordedValuation, unlearner: object) -> bool:
    """Whether to measure what the unlearner itself gives for what calibration has retrained."""
    return isinstance(unlearner, AutoUnlearner) and int(recorded.by_calibration.sum()) >= FEWEST


def learn_again(
    recorded: RecordedValuation,
    game: Game,
    exact: NDArray[np.bool_],
    candidate: Floats | None,
    tolerance: float,
    *,
    vanishing: bool,
) -> LearntAgain | None:
    """The correction; None where the parameters ask for none.

    exact: coalitions of the plan that the unlearner itself retrains `(m,)`; candidate: unlearned
    utilities of those that calibration has retrained `(k,)`, if `needs_candidate`; tolerance: of an
    unlearned utility; vanishing: as `Unlearner.vanishes`.
    """
    settings = recorded.params.correction
    if (exact | recorded.by_calibration).all():
        return None
    learnt = _learnt_from(recorded, exact, candidate)
    if learnt is None:
        return None
    rows, truth, unlearned = learnt
    itself = exact | (recorded.by_calibration & (candidate is None))
    seed = settings.seed if settings.coalitions else recorded.params.calibration.seed
    kept = kept_rows(game, recorded.coalitions)

    def learn(utilities: Floats) -> Correction:
        plan, retrained = recorded.coalitions, (rows, truth)
        return correct(plan, kept, utilities, retrained, itself, seed, vanishing=vanishing)

    found = learn(unlearned)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], len(unlearned))
    moved = learn(np.where(itself, unlearned, unlearned + tolerance * signs))
    change = np.abs(moved.corrected - found.corrected)
    applies = bool(settings.coalitions) or _improves(recorded, found, exact, rows, truth, unlearned)
    return LearntAgain(found, applies, SLACK * np.maximum(change, change.max() / 10))


def _learnt_from(
    recorded: RecordedValuation, exact: NDArray[np.bool_], candidate: Floats | None
) -> tuple[Ints, Floats, Floats] | None:
    """Rows of the plan that are learnt from and what retraining gave for them `(k,)`, and the
    utilities of the plan before correction `(m,)`.
    """
    unlearned = recorded.columns[recorded.primary][2:].copy()
    rows, truth = np.array([], dtype=np.int64), np.array([])
    if candidate is not None:
        rows = np.flatnonzero(recorded.by_calibration)
        truth = unlearned[rows].copy()
        unlearned[rows] = candidate
    count = recorded.params.correction.coalitions
    if count:
        retrained = exact | recorded.by_calibration
        chosen = choose(count, recorded.params.correction.seed, retrained, recorded.coalitions)
        if recorded.corrected is None:
            return None
        rows, truth = np.append(rows, chosen), np.append(truth, recorded.corrected[chosen])
        order = np.argsort(rows)
        rows, truth = rows[order], truth[order]
    return (rows, truth, unlearned) if len(rows) >= FEWEST else None


@one_thread()
def _improves(
    recorded: RecordedValuation,
    found: Correction,
    exact: NDArray[np.bool_],
    rows: Ints,
    truth: Floats,
    unlearned: Floats,
) -> bool:
    """Whether the run would have applied it: see `Calibration.is_improved_by`."""
    calibration = Calibration(
        AutoUnlearner(), rows, truth, unlearned[rows], ~exact[rows], (), 0.0, ""
    )
    return calibration.is_improved_by(found)
