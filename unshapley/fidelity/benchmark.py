"""Unlearners held against real retraining: utilities, values and cost, over pretraining seeds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from unshapley.config import ValuationSettings
from unshapley.errors import InputError, UnshapleyError
from unshapley.estimators import Plan, estimate
from unshapley.fidelity.correction import FEWEST, choose, correct
from unshapley.fidelity.gate import spearman
from unshapley.game.coalitions import Coalitions, chunks, nobody
from unshapley.game.game import Game
from unshapley.game.measuring import measure, measure_endpoints
from unshapley.game.memory import chunk_size
from unshapley.game.utilities import Utility
from unshapley.unlearning import Unlearner
from unshapley.unlearning.none import NoUnlearning
from unshapley.unlearning.retrain import RetrainUnlearner, TruncatedRetrainUnlearner

Floats = NDArray[np.float64]

EDGES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Bins of the share of training rows that is forgotten."""
CHUNK = 64
SAMPLE = 32
"""Coalitions whose retraining is timed where the truth was computed before."""
RANKED = 6
"""Fewest players of whom a rank correlation of values says something."""
CORRECTED = ("newton", "hybrid")
RETRAINED_SHARE = 0.05
CHEAP = 0.05
"""Share of the cost of retraining that an unlearner with retained rows may cost."""
OTHER_SEED = "retrain_other_seed"


@dataclass(frozen=True)
class UnlearnerRow:
    """What one unlearner reached; figures are `None` where they are not defined or it failed.

    seeds: games that were compared; rmse: root mean squared error of the utilities, and
    rmse_by_share: of those with 0–25, 25–50, 50–75 and 75–100 % of the rows forgotten, mean over
    seeds; noise_floor, noise_by_share: the same between retrainings with different seeds;
    spearman_utilities: rank correlation of utilities; spearman, rel_l2: of values, mean over seeds,
    with standard deviations; cost_share: CPU seconds over those of retraining; reason: of failure.
    """

    unlearner: str
    retain_free: bool
    control: bool
    seeds: int
    rmse: float | None = None
    spearman_utilities: float | None = None
    rmse_by_share: tuple[float | None, ...] = (None,) * 4
    noise_floor: float | None = None
    noise_by_share: tuple[float | None, ...] = (None,) * 4
    spearman: float | None = None
    spearman_std: float | None = None
    rel_l2: float | None = None
    rel_l2_std: float | None = None
    cost_share: float | None = None
    reason: str = ""


def compared_coalitions(game: Game, plan: Plan) -> Coalitions:
    """Coalitions of players that are compared `(m, n)`: those of the plan, and in a partial game,
    where it is a coalition like any other, that in which no player stays before them.
    """
    if not game.partial:
        return plan.coalitions
    return np.vstack([nobody(plan.n), plan.coalitions])


def compare_unlearners(
    games: Sequence[Game],
    plan: Plan,
    unlearners: Sequence[Unlearner],
    utility: Utility,
    *,
    truth: Floats | None = None,
    limits: ValuationSettings | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> list[UnlearnerRow]:
    """A row for each unlearner, then the controls, then the unlearners with their correction.

    games: one a pretraining seed, with the same players, rows and test set; truth: utilities of
    `compared_coalitions` really retrained `(seeds, m)`, computed here where there are none; limits:
    of `chunk_size` and `memory_mb`, chunks are of 64 without; advance: called as coalitions are
    done. `cost_share` compares CPU seconds of this process, of unlearning and of retraining the
    same coalitions; where the truth is given, of a sample of them.

    Controls: `no_unlearning`; `truncated_retrain` at the cost of the best cheap unlearner that
    touches retained rows, or as it is given; `retrain_other_seed`, the ceiling. An unlearner that
    fails gets a row with the reason. Raises `InputError` where games differ or rows are missing.
    """
    table = _open(games, plan, utility, truth, limits, advance)
    given = [u for u in unlearners if not isinstance(u, NoUnlearning | TruncatedRetrainUnlearner)]
    rows = [table.run(unlearner) for unlearner in given]
    truncated = [u for u in unlearners if isinstance(u, TruncatedRetrainUnlearner)]
    rows.append(table.run(NoUnlearning()))
    rows += [table.run(u) for u in truncated or [_equal_cost(rows, games[0])]]
    rows.append(table.other_seed())
    for unlearner in given:
        if unlearner.name in CORRECTED and unlearner.name in table.predictions:
            rows += table.corrected(unlearner)
    return rows


@dataclass
class _Table:
    """What is shared by all rows of a table.

    truth: `(seeds, m)`; seconds: of retraining all coalitions of one seed; ends: U(none) and U(all)
    `(seeds, 2)`; forgotten: share of rows `(m,)`; predictions: `(seeds, m)` and cost share, by
    unlearner.
    """

    games: Sequence[Game]
    plan: Plan
    utility: Utility
    coalitions: Coalitions
    truth: Floats
    seconds: float
    ends: Floats
    forgotten: Floats
    limits: ValuationSettings | None
    advance: Callable[[int], None]
    predictions: dict[str, tuple[Floats, float]] = field(default_factory=dict)

    def run(self, unlearner: Unlearner) -> UnlearnerRow:
        """Measure an unlearner in every game."""
        predictions, spent = [], 0.0
        for game in self.games:
            try:
                predicted, seconds = _timed(
                    game, unlearner, self.coalitions, self.utility, self.limits, self.advance
                )
            except UnshapleyError as error:
                what = error.what if isinstance(error, InputError) else str(error).splitlines()[0]
                return self.failed(unlearner.name, unlearner, what)
            predictions.append(predicted)
            spent += seconds / len(self.games)
        cost = spent / self.seconds
        self.predictions[unlearner.name] = (np.array(predictions), cost)
        return self.row(unlearner.name, unlearner, np.array(predictions), cost)

    def other_seed(self) -> UnlearnerRow:
        """The ceiling: what retraining with another seed says."""
        if len(self.games) < 2:
            return self.failed(OTHER_SEED, RetrainUnlearner(), "needs two seeds")
        shifted, ends = np.roll(self.truth, -1, axis=0), np.roll(self.ends, -1, axis=0)
        return self.row(OTHER_SEED, RetrainUnlearner(), shifted, 1.0, ends)

    def corrected(self, unlearner: Unlearner) -> list[UnlearnerRow]:
        """The row of an unlearner whose residual is learnt from a few retrainings; none where it
        has retrained everything, or in a partial game.
        """
        predictions, cost = self.predictions[unlearner.name]
        game, m = self.games[0], len(self.coalitions)
        staying = game.staying(self.coalitions)
        fitted = unlearner.fitted(game.pretrained, staying)
        exact = fitted.exact(game.pretrained, staying).cpu().numpy()
        if game.partial or exact.all():
            return []
        count = max(FEWEST, round(RETRAINED_SHARE * m))
        name = f"{unlearner.name} + {count / m:.0%} retrained".replace("%", " %")
        kept = 1 - self.forgotten
        corrected, extra = [], 0.0
        for k, unlearned in enumerate(predictions):
            chosen = choose(count, k, exact, self.coalitions)
            retrained = (chosen, self.truth[k][chosen])
            try:
                correction = correct(self.coalitions, kept, unlearned, retrained, exact, k)
            except UnshapleyError as error:
                return [self.failed(name, unlearner, str(error).splitlines()[0])]
            corrected.append(correction.corrected)
            extra += float(kept[chosen].sum() / kept.sum()) / len(predictions)
        return [self.row(name, unlearner, np.array(corrected), cost + extra, retain_free=False)]

    def row(
        self,
        name: str,
        kind: Unlearner,
        predictions: Floats,
        cost: float,
        ends: Floats | None = None,
        *,
        retain_free: bool | None = None,
    ) -> UnlearnerRow:
        """All figures of predictions `(seeds, m)`; ends: other U(none) and U(all) `(seeds, 2)`."""
        true = np.array([self.values(*pair) for pair in zip(self.truth, self.ends, strict=True)])
        ends = self.ends if ends is None else ends
        values = np.array([self.values(*pair) for pair in zip(predictions, ends, strict=True)])
        error = np.linalg.norm(values - true, axis=1)
        size = np.linalg.norm(true, axis=1)
        relative = [float(e / s) if s else None for e, s in zip(error, size, strict=True)]
        ranks: list[float | None] = [None]
        if true.shape[1] >= RANKED:
            ranks = [_rank(a, b) for a, b in zip(values, true, strict=True)]
        utilities = [_rank(a, b) for a, b in zip(predictions, self.truth, strict=True)]
        pairs = list(zip(predictions, self.truth, strict=True))
        seeds = list(combinations(self.truth, 2))
        return UnlearnerRow(
            unlearner=name,
            retain_free=kind.retain_free if retain_free is None else retain_free,
            control=kind.control,
            seeds=len(self.games),
            rmse=_mean_rmse(pairs),
            spearman_utilities=_mean(utilities),
            rmse_by_share=self.by_share(pairs),
            noise_floor=_mean_rmse(seeds),
            noise_by_share=self.by_share(seeds),
            spearman=_mean(ranks),
            spearman_std=_deviation(ranks),
            rel_l2=_mean(relative),
            rel_l2_std=_deviation(relative),
            cost_share=cost,
        )

    def failed(self, name: str, kind: Unlearner, reason: str) -> UnlearnerRow:
        """A row without figures."""
        return UnlearnerRow(name, kind.retain_free, kind.control, len(self.games), reason=reason)

    def by_share(self, pairs: Sequence[tuple[Floats, Floats]]) -> tuple[float | None, ...]:
        """Mean RMSE of pairs `(m,)`, for each bin of the share forgotten."""
        bins = np.digitize(self.forgotten, EDGES[1:-1], right=True)
        return tuple(
            _mean_rmse([(a[bins == i], b[bins == i]) for a, b in pairs])
            if (bins == i).any()
            else None
            for i in range(len(EDGES) - 1)
        )

    def values(self, utilities: Floats, ends: Floats) -> Floats:
        """Shapley values `(n,)` of utilities `(m,)`."""
        # in a partial game the first coalition is that in which no player stays
        planned = utilities[len(utilities) - len(self.plan.coalitions) :]
        of_none = utilities[:1] if len(planned) < len(utilities) else ends[:1]
        table = np.concatenate([of_none, planned, ends[1:]])
        return estimate(self.plan, table).value


def _open(
    games: Sequence[Game],
    plan: Plan,
    utility: Utility,
    truth: Floats | None,
    limits: ValuationSettings | None,
    advance: Callable[[int], None],
) -> _Table:
    """Retrain what has to be retrained, and time it."""
    first = games[0]
    if any((g.players, g.providers) != (first.players, first.providers) for g in games):
        raise InputError("the games have different players", expected="one game, several seeds")
    coalitions = compared_coalitions(first, plan)
    retrainer = RetrainUnlearner()
    if truth is None:
        both = [_timed(game, retrainer, coalitions, utility, limits, advance) for game in games]
        truth = np.array([utilities for utilities, _ in both])
        seconds = float(np.mean([spent for _, spent in both]))
    else:
        order = np.argsort(coalitions.sum(axis=1), kind="stable")
        middle = max(0, (len(order) - SAMPLE) // 2)
        sample = coalitions[order[middle : middle + SAMPLE]]  # sizes as they are on average
        seconds = _timed(first, retrainer, sample, utility, limits, lambda _: None)[1]
        seconds *= len(coalitions) / len(sample)
    measured = [measure_endpoints(game, NoUnlearning(), [utility]) for game in games]
    ends = [endpoints.utilities[utility.name] for endpoints in measured]
    share = first.pretrained.share(first.staying(coalitions)).cpu().numpy()
    return _Table(
        games, plan, utility, coalitions, truth, seconds, np.array(ends), 1 - share, limits, advance
    )


def _timed(
    game: Game,
    unlearner: Unlearner,
    coalitions: Coalitions,
    utility: Utility,
    limits: ValuationSettings | None,
    advance: Callable[[int], None],
) -> tuple[Floats, float]:
    """Utilities `(m,)` in chunks of like size, and the CPU seconds of unlearning and evaluation."""
    size = chunk_size(game, unlearner, coalitions, limits) if limits else CHUNK
    begin = time.process_time()
    staying = game.staying(coalitions)
    fitted = unlearner.fitted(game.pretrained, staying)
    order = np.argsort(game.pretrained.share(staying).cpu().numpy(), kind="stable")
    out = np.empty(len(coalitions))
    done = 0
    for part in chunks(coalitions[order], size):
        out[order[done : done + len(part)]] = measure(game, fitted, part, [utility])[utility.name]
        done += len(part)
        advance(len(part))
    return out, time.process_time() - begin


def _equal_cost(rows: Sequence[UnlearnerRow], game: Game) -> TruncatedRetrainUnlearner:
    """Truncated retraining at the cost of the best row that touches retained rows, of those that
    cost little; at a nominal cost where there is none.
    """
    rivals = [
        (row.rmse, row.cost_share)
        for row in rows
        if row.rmse is not None and row.cost_share is not None
        if not row.retain_free and not row.control
    ]
    limit = max(CHEAP, min((cost for _, cost in rivals), default=0.0))
    cost = min((rival for rival in rivals if rival[1] <= limit), default=(0.0, CHEAP))[1]
    return TruncatedRetrainUnlearner(steps=max(1, round(cost * game.pretrained.recipe.steps)))


def _mean_rmse(pairs: Sequence[tuple[Floats, Floats]]) -> float | None:
    if not pairs:
        return None
    return float(np.mean([math.sqrt(float(np.mean((a - b) ** 2))) for a, b in pairs]))


def _rank(a: Floats, b: Floats) -> float | None:
    return spearman(a.round(12).tolist(), b.round(12).tolist())


def _mean(figures: Sequence[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return float(np.mean(known)) if len(known) == len(figures) else None


def _deviation(figures: Sequence[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return float(np.std(known, ddof=1)) if len(known) == len(figures) > 1 else None
