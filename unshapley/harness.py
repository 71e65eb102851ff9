"""Unlearners held against real retraining: utilities, values and cost, over pretraining seeds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from unshapley.coalitions import Coalitions, chunks, to_masks
from unshapley.config import Valuation
from unshapley.correction import choose, correct
from unshapley.errors import InputError, UnshapleyError
from unshapley.estimators import Plan, estimate
from unshapley.fidelity import spearman
from unshapley.game import Game
from unshapley.measurement import measure, measure_endpoints
from unshapley.memory import chunk_size
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
FEWEST_RETRAINED = 4
CHEAP = 0.05
"""Share of the cost of retraining that an unlearner with retained rows may cost."""
OTHER_SEED = "retrain_other_seed"


@dataclass(frozen=True)
class Row:
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


def measured(game: Game, plan: Plan) -> Coalitions:
    """Coalitions of players that are compared `(m, n)`: those of the plan, and in a partial game,
    where it is a coalition like any other, that in which no player stays before them.
    """
    nobody = np.zeros((1, len(game.players)), dtype=bool)
    return np.vstack([nobody, plan.coalitions]) if game.partial else plan.coalitions


def compare(
    games: Sequence[Game],
    plan: Plan,
    unlearners: Sequence[Unlearner],
    utility: str,
    *,
    truth: Floats | None = None,
    limits: Valuation | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Row]:
    """A row for each unlearner, then the controls, then the unlearners with their correction.

    games: one a pretraining seed, with the same players, rows and test set; truth: utilities of
    `measured` really retrained `(seeds, m)`, computed here where there are none; limits: of
    `chunk_size` and `memory_mb`, chunks are of 64 without; advance: told of coalitions as they are
    done. `cost_share` compares CPU seconds of this process, of unlearning
    and of retraining the same coalitions; where the truth is given, of a sample of them.

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
        if unlearner.name in CORRECTED and unlearner.name in table.found:
            rows += table.corrected(unlearner)
    return rows


@dataclass
class _Table:
    """What is shared by all rows of a table.

    truth: `(seeds, m)`; seconds: of retraining all coalitions of one seed; ends: U(none) and U(all)
    `(seeds, 2)`; forgotten: share of rows `(m,)`; found: predictions `(seeds, m)` and cost share.
    """

    games: Sequence[Game]
    plan: Plan
    utility: str
    coalitions: Coalitions
    truth: Floats
    seconds: float
    ends: Floats
    forgotten: Floats
    limits: Valuation | None
    advance: Callable[[int], None]
    found: dict[str, tuple[Floats, float]] = field(default_factory=dict)

    def run(self, unlearner: Unlearner) -> Row:
        """Measure an unlearner in every game."""
        predictions, spent = [], 0.0
        for game in self.games:
            try:
                one, seconds = _timed(
                    game, unlearner, self.coalitions, self.utility, self.limits, self.advance
                )
            except UnshapleyError as error:
                what = error.what if isinstance(error, InputError) else str(error).splitlines()[0]
                return self.failed(unlearner.name, unlearner, what)
            predictions.append(one)
            spent += seconds / len(self.games)
        cost = spent / self.seconds
        self.found[unlearner.name] = (np.array(predictions), cost)
        return self.row(unlearner.name, unlearner, np.array(predictions), cost)

    def other_seed(self) -> Row:
        """The ceiling: what retraining with another seed says."""
        if len(self.games) < 2:
            return self.failed(OTHER_SEED, RetrainUnlearner(), "needs two seeds")
        shifted, ends = np.roll(self.truth, -1, axis=0), np.roll(self.ends, -1, axis=0)
        return self.row(OTHER_SEED, RetrainUnlearner(), shifted, 1.0, ends)

    def corrected(self, unlearner: Unlearner) -> list[Row]:
        """The row of an unlearner whose residual is learnt from a few retrainings; none where it
        has retrained everything, or in a partial game.
        """
        predictions, cost = self.found[unlearner.name]
        n, m = len(self.games[0].players), len(self.coalitions)
        staying = self.games[0].staying(self.coalitions)
        fitted = unlearner.fitted(self.games[0].pretrained, staying)
        exact = fitted.exact(self.games[0].pretrained, staying).cpu().numpy()
        if self.games[0].partial or exact.all():
            return []
        count = max(FEWEST_RETRAINED, round(RETRAINED_SHARE * m))
        name = f"{unlearner.name} + {count / m:.0%} retrained".replace("%", " %")
        masks, kept = to_masks(self.coalitions), 1 - self.forgotten
        better, extra = [], 0.0
        for k, prediction in enumerate(predictions):
            chosen = set(to_masks(choose(n, count, k, exact, self.coalitions)))
            known = {
                mask: u for mask, u in zip(masks, self.truth[k], strict=True) if mask in chosen
            }
            try:
                found = correct(self.coalitions, kept, prediction.tolist(), known, exact, k)
            except UnshapleyError as error:
                return [self.failed(name, unlearner, str(error).splitlines()[0])]
            better.append(found.corrected)
            retrained = np.array([mask in chosen for mask in masks])
            extra += float(kept[retrained].sum() / kept.sum()) / len(predictions)
        return [self.row(name, unlearner, np.array(better), cost + extra, retain_free=False)]

    def row(
        self,
        name: str,
        kind: Unlearner,
        predictions: Floats,
        cost: float,
        ends: Floats | None = None,
        *,
        retain_free: bool | None = None,
    ) -> Row:
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
        return Row(
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

    def failed(self, name: str, kind: Unlearner, reason: str) -> Row:
        """A row without figures."""
        return Row(name, kind.retain_free, kind.control, len(self.games), reason=reason)

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
        nobody = utilities[:1] if len(planned) < len(utilities) else ends[:1]
        table = np.concatenate([nobody, planned, ends[1:]])
        return estimate(self.plan, table).value


def _open(
    games: Sequence[Game],
    plan: Plan,
    utility: str,
    truth: Floats | None,
    limits: Valuation | None,
    advance: Callable[[int], None],
) -> _Table:
    """Retrain what has to be retrained, and time it."""
    first = games[0]
    if any((g.players, g.providers) != (first.players, first.providers) for g in games):
        raise InputError("the games have different players", expected="one game, several seeds")
    coalitions = measured(first, plan)
    retrainer = RetrainUnlearner()
    if truth is None:
        both = [_timed(game, retrainer, coalitions, utility, limits, advance) for game in games]
        truth = np.array([one for one, _ in both])
        seconds = float(np.mean([spent for _, spent in both]))
    else:
        order = np.argsort(coalitions.sum(axis=1), kind="stable")
        middle = max(0, (len(order) - SAMPLE) // 2)
        sample = coalitions[order[middle : middle + SAMPLE]]  # sizes as they are on average
        seconds = _timed(first, retrainer, sample, utility, limits, lambda _: None)[1]
        seconds *= len(coalitions) / len(sample)
    ends = [measure_endpoints(game, NoUnlearning(), [utility])[utility] for game in games]
    share = first.pretrained.share(first.staying(coalitions)).cpu().numpy()
    return _Table(
        games, plan, utility, coalitions, truth, seconds, np.array(ends), 1 - share, limits, advance
    )


def _timed(
    game: Game,
    unlearner: Unlearner,
    coalitions: Coalitions,
    utility: str,
    limits: Valuation | None,
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
        out[order[done : done + len(part)]] = measure(game, fitted, part, [utility])[utility]
        done += len(part)
        advance(len(part))
    return out, time.process_time() - begin


def _equal_cost(rows: Sequence[Row], game: Game) -> TruncatedRetrainUnlearner:
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


def _mean(found: Sequence[float | None]) -> float | None:
    known = [one for one in found if one is not None]
    return float(np.mean(known)) if len(known) == len(found) else None


def _deviation(found: Sequence[float | None]) -> float | None:
    known = [one for one in found if one is not None]
    return float(np.std(known, ddof=1)) if len(known) == len(found) > 1 else None
