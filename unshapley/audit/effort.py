"""How large a sample an audit takes: by counted work, so that it is the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unshapley.audit.correcting import needs_candidate
from unshapley.audit.recorded import RecordedValuation
from unshapley.estimators.base import Floats
from unshapley.game.game import Game
from unshapley.game.rounding import FEW, FEW_RETRAINED
from unshapley.game.work import flop_of_coalitions
from unshapley.unlearning import Unlearner
from unshapley.unlearning.auto import AutoUnlearner
from unshapley.unlearning.retrain import RetrainUnlearner

SHARE = 0.15
"""Of the run's counted work that an audit may take. What is not counted (values, tables, batches of
few) makes it a quarter of its time (benchmarks/README.md)."""
LEAST = 80
"""Coalitions of a sample, at least, whatever they take: fewer do not find who knows the rule in
95 % of cases (benchmarks/README.md)."""
DOUBLE = 2
"""Operations in float32 that one in float64 takes the time of."""


@dataclass(frozen=True)
class Effort:
    """Counted work, in floating-point operations.

    run: what the recorded valuation took; fixed: what an audit takes beside its sample; each: what
    a coalition of the sample takes, on the mean.
    """

    run: float
    fixed: float
    each: float

    def affordable(self, m: int) -> int:
        """Coalitions of the plan's `m` that keep an audit below `SHARE` of the run."""
        return int(min(m, max(LEAST, (SHARE * self.run - self.fixed) // self.each)))

    def share(self, count: int) -> float:
        """What an audit takes that measures so many coalitions, in shares of the run's work."""
        return (self.fixed + count * self.each) / self.run


def effort(
    recorded: RecordedValuation, game: Game, unlearner: Unlearner, checked: int, repeated: int
) -> Effort:
    """Of the recorded plan and check, and of an audit.

    checked: coalitions that the run retrained for the fidelity check; repeated: those of them that
    the audit retrains again, and so many others. What calibration tried in vain is left out of the
    run's work: the manifest alone states it.
    """
    coalitions, calibrated = recorded.coalitions, recorded.by_calibration
    retraining = flop_of_coalitions(game, RetrainUnlearner(), coalitions)
    work = np.where(calibrated, retraining, flop_of_coalitions(game, unlearner, coalitions))
    forgotten = work < retraining
    typical = float(np.mean(retraining[forgotten])) if forgotten.any() else 0.0
    double = [np.sort(work[forgotten])[:FEW], np.sort(retraining)[:FEW_RETRAINED]]
    return Effort(
        run=float(work.sum()) + checked * typical,
        fixed=2 * min(repeated, checked) * typical
        + DOUBLE * float(np.concatenate(double).sum())
        + float(_tried_again(recorded, game, unlearner).sum()),
        each=float(work.mean()),
    )


def _tried_again(recorded: RecordedValuation, game: Game, unlearner: Unlearner) -> Floats:
    """Work of the candidate of `auto` on what calibration has retrained."""
    if not needs_candidate(recorded, unlearner):
        return np.zeros(0)
    assert isinstance(unlearner, AutoUnlearner)
    candidate = unlearner.candidate(game.pretrained)
    return flop_of_coalitions(game, candidate, recorded.coalitions[recorded.by_calibration])
