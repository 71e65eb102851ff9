"""Calibration: which way of forgetting comes closest to retraining, on the project's own data.

Some coalitions are really retrained before anything else is measured, and every candidate is tried
on them. What a candidate misses there is a few residuals; by the process of
`unshapley.fidelity.residuals` they say how far the values would be from those of retraining after
what can be learnt from them is corrected. The candidate with the smallest such error is taken. To
compare errors of utilities would not do: an error that only depends on the size of a coalition
hardly moves a Shapley value, and correcting takes most of it away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshapley.config import CalibrationSettings
from unshapley.errors import UnshapleyError
from unshapley.estimators.base import Floats, Ints
from unshapley.fidelity.correction import Correction
from unshapley.fidelity.design import LEAST, Unlearned, coalitions_to_retrain
from unshapley.game.coalitions import Coalitions
from unshapley.game.game import Game
from unshapley.game.work import flop_of_coalitions
from unshapley.unlearning.auto import AutoUnlearner, candidates, rows_kept, without_rows
from unshapley.unlearning.base import Unlearner
from unshapley.unlearning.retrain import RetrainUnlearner

TIE = 1.05
"""Candidates whose expected errors differ by less than this factor are equal; the cheaper wins."""
DEAR = 0.06
"""Candidates that would cost more than this share of retraining the plan are not tried, unless all
would: a tenth in all is what forgetting is to cost."""
SET = "the method is set in valuation.options"

Mask = NDArray[np.bool_]
Measure = Callable[[Unlearner, Coalitions], Floats]
"""(unlearner, coalitions `(k, n)`) → primary utilities `(k,)`; `UnshapleyError` for a model that
diverged."""


@dataclass(frozen=True)
class Trial:
    """How a candidate did.

    error: expected error of the values, after correction, in units of the utility (root of the
    summed variance of all values); rmse: root mean squared error of the utilities that were
    retrained to choose by; cost_share: its work on what is not retrained anyway, in shares of that
    of retraining the plan; reason: why there are no figures.
    """

    method: str
    error: float | None
    rmse: float | None
    cost_share: float
    reason: str = ""


@dataclass(frozen=True)
class Calibration:
    """What calibration has found.

    unlearner: with its method set; rows: indices of the plan's coalitions that were retrained to
    learn from, ascending `(k,)`; retrained, unlearned: their utilities by retraining and by the
    chosen candidate `(k,)`; chosen_by: which of them were retrained only for that `(k,)`, the
    others are retrained by the unlearner itself; trials: of all candidates; cost_share: work of
    calibration in shares of that of retraining the plan; reason: in words.
    """

    unlearner: AutoUnlearner
    rows: Ints
    retrained: Floats
    unlearned: Floats
    chosen_by: Mask
    trials: tuple[Trial, ...]
    cost_share: float
    reason: str

    @property
    def method(self) -> str:
        """How coalitions are forgotten that are not retrained anyway; `retrain` if all are."""
        return RetrainUnlearner.name if self.unlearner.retrains_all else str(self.unlearner.method)

    @property
    def extra(self) -> Ints:
        """Rows that the unlearner would not retrain itself."""
        out: Ints = self.rows[self.chosen_by]
        return out

    def first(self, count: int) -> Calibration:
        """What was found with the first coalitions of the plan."""
        among = self.rows < count
        parts = ("rows", "retrained", "unlearned", "chosen_by")
        return replace(self, **{part: getattr(self, part)[among] for part in parts})

    def before(self, utilities: Floats) -> Floats:
        """The utilities of the plan `(m,)` as the chosen candidate gives them for `rows` too."""
        unlearned = utilities.copy()
        unlearned[self.rows] = self.unlearned
        return unlearned

    def is_improved_by(self, correction: Correction) -> bool:
        """Whether each of the coalitions that were retrained to choose by is predicted better by
        what the others say than by the chosen candidate alone, on the whole.

        correction: learnt from `rows`.
        """
        chosen = self.chosen_by
        missed = (correction.left_out - self.retrained)[chosen]
        return bool(np.mean(missed**2) < np.mean((self.unlearned - self.retrained)[chosen] ** 2))

    def summary(self) -> dict[str, Any]:
        """For the manifest and metrics.json."""
        return {
            "method": self.method,
            "reason": self.reason,
            "retrained": len(self.extra),
            "cost_share": self.cost_share,
            "candidates": [
                {
                    "method": trial.method,
                    "value_error": trial.error,
                    "utility_rmse": trial.rmse,
                    "cost_share": trial.cost_share,
                    "reason": trial.reason,
                }
                for trial in self.trials
            ],
        }


def calibrate(
    game: Game,
    auto: AutoUnlearner,
    plan: Coalitions,
    typical: Coalitions,
    settings: CalibrationSettings,
    measure: Measure,
) -> Calibration:
    """Choose how the coalitions of a plan `(m, n)` are forgotten.

    typical: coalitions by which the smallest to retrain are told, whatever the budget; measure:
    measures utilities. Raises `InputError` where `settings` pay for too few coalitions, and
    `UnshapleyError` where all candidates diverge.
    """
    decided = _without_rows(game, auto) or _where_few(game, auto, plan)
    if decided is not None:
        return decided
    below = auto.retrain_below
    if below is None:
        below = largest_affordable_share(game, typical, auto.cost)
    auto = auto.model_copy(update={"retrain_below": below})
    if auto.method is not None:
        return _decided(auto, below, auto.method, SET)
    exact = auto.exact(game.pretrained, game.staying(plan)).cpu().numpy()
    work = flop_of_coalitions(game, RetrainUnlearner(), plan)
    unlearned = Unlearned(game, plan, exact)
    extra = coalitions_to_retrain(unlearned, work, settings)
    if len(extra) == (~exact).sum():  # it may be none
        return _decided(auto, 1.0, without_rows(game.pretrained), "every coalition is retrained")
    rows = np.union1d(extra, unlearned.border)
    retrained = measure(RetrainUnlearner(), plan[rows])
    drawn = rows, np.isin(rows, extra), retrained
    return _choose(game, auto, unlearned, drawn, work, measure)


def largest_affordable_share(game: Game, typical: Coalitions, cost: float) -> float:
    """Share of the rows up to which coalitions are retrained, so that this takes the share `cost`
    of the work of retraining all `typical` ones `(m, n)`; 0 where it pays for none.

    It lies halfway between the last that is paid for and the next: the last bit of a coalition's
    own share depends on the batch that it is computed in.
    """
    share = rows_kept(game.pretrained, game.staying(typical)).cpu().numpy()
    work = flop_of_coalitions(game, RetrainUnlearner(), typical)
    order = np.argsort(share, kind="stable")
    paid = int((np.cumsum(work[order]) <= cost * work.sum()).sum())
    if not paid:
        return 0.0
    return float(np.append(share[order], 1.0)[paid - 1 : paid + 1].mean())


def _without_rows(game: Game, auto: AutoUnlearner) -> Calibration | None:
    """Where rows or the recipe are unknown, so that nothing can be retrained to choose by."""
    if game.retrainable:
        return None
    if auto.method is not None:  # it says itself if it reads rows that are out of reach
        return _decided(auto, 0.0, auto.method, SET)
    lacking = "the recipe is unknown" if game.all_rows else "rows are out of reach"
    method = without_rows(game.pretrained)
    return _decided(auto, 0.0, method, f"{lacking}, so nothing can be retrained")


def _where_few(game: Game, auto: AutoUnlearner, plan: Coalitions) -> Calibration | None:
    """Where retraining all of the plan costs no more than calibration and check would."""
    few = auto.retrains_few(len(game.providers)) or len(plan) <= 2 * LEAST
    if auto.method is not None or not few:
        return None
    return _decided(auto, 1.0, without_rows(game.pretrained), "so few coalitions are all retrained")


def _decided(auto: AutoUnlearner, below: float, method: str, reason: str) -> Calibration:
    unlearner = auto.model_copy(update={"retrain_below": below, "method": method})
    nothing = np.array([])
    none = nothing.astype(np.int64), nothing, nothing, nothing.astype(bool)
    return Calibration(unlearner, *none, (), 0.0, reason)


def _choose(
    game: Game,
    auto: AutoUnlearner,
    part: Unlearned,
    drawn: tuple[Ints, Mask, Floats],
    retraining: Floats,
    measure: Measure,
) -> Calibration:
    """drawn: rows, chosen_by and retrained, as `Calibration` has them; retraining: work of
    retraining each coalition `(m,)`.
    """
    rows, chosen_by, retrained = drawn
    choice = candidates(game.pretrained)
    work = {name: flop_of_coalitions(game, kind, part.plan) for name, kind in choice.items()}
    total, once = retraining.sum(), ~part.exact
    share = {name: float(flop[once].sum() / total) for name, flop in work.items()}
    dearest = max(DEAR, min(cost for name, cost in share.items() if name != "no_unlearning"))
    trials, unlearned = [], {}
    for name, candidate in choice.items():
        cost = share[name]
        if cost > dearest:
            reason = f"by itself it would cost more than {100 * dearest:.0f} % of retraining"
            trials.append(Trial(name, None, None, cost, reason))
            continue
        try:
            unlearned[name] = measure(candidate, part.plan[rows])
        except UnshapleyError as error:
            trials.append(Trial(name, None, None, cost, str(error).splitlines()[0]))
            continue
        residuals = retrained - unlearned[name]
        rmse = float(np.sqrt(np.mean(residuals[chosen_by] ** 2)))
        expected = part.expected_error(rows, residuals, vanishing=candidate.vanishes)
        trials.append(Trial(name, expected, rmse, cost))
    best = _cheapest_of_best(trials)
    reason = (
        f"smallest expected error of the values, {best.error:.3g}, of {len(unlearned)} candidates "
        f"tried on {len(rows)} retrained coalitions"
    )
    spent = retraining[rows[chosen_by]].sum() + sum(work[name][rows].sum() for name in unlearned)
    return Calibration(
        auto.model_copy(update={"method": best.method}),
        rows,
        retrained,
        unlearned[best.method],
        chosen_by,
        tuple(trials),
        float(spent / total),
        reason,
    )


def _cheapest_of_best(trials: list[Trial]) -> Trial:
    tried = [(trial.error, trial) for trial in trials if trial.error is not None]
    if not tried:
        reasons = "; ".join(dict.fromkeys(trial.reason for trial in trials))
        raise UnshapleyError(
            f"no candidate of auto gave finite models: {reasons}\n"
            "  do: name another unlearner in valuation.unlearner, such as retrain, or pretrain the "
            "model with a lower learning rate"
        )
    smallest = min(error for error, _ in tried)
    return min(
        (trial for error, trial in tried if error <= TIE * smallest), key=lambda t: t.cost_share
    )
