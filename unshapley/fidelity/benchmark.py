"""Compare unlearners with real retraining: utilities, values and cost, for several seeds."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from unshapley.config import CalibrationSettings, ValuationSettings
from unshapley.errors import InputError, UnshapleyError
from unshapley.estimators import Plan, estimate
from unshapley.fidelity.calibration import calibrate
from unshapley.fidelity.correction import FEWEST, choose, correct
from unshapley.fidelity.gate import spearman
from unshapley.fidelity.implied import RANKED
from unshapley.game.coalitions import Coalitions, chunks, nobody
from unshapley.game.game import Game
from unshapley.game.kept import kept_rows
from unshapley.game.measuring import measure, measure_endpoints
from unshapley.game.memory import chunk_size
from unshapley.game.utility import Utility
from unshapley.unlearning import Unlearner
from unshapley.unlearning.auto import AutoUnlearner
from unshapley.unlearning.none import NoUnlearning
from unshapley.unlearning.retrain import RetrainUnlearner, TruncatedRetrainUnlearner, full_steps

Floats = NDArray[np.float64]

log = logging.getLogger("unshapley.fidelity")

EDGES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Bins of the share of training rows that is forgotten."""
CHUNK = 64
SAMPLE = 32
"""Number of coalitions whose retraining is timed if the true utilities are given."""
CORRECTED = ("newton", "hybrid")
"""Unlearners that are also compared with a correction."""
RETRAINED_SHARE = 0.05
"""Share of the coalitions that are retrained to learn a correction."""
CHEAP = 0.05
"""Unlearners that read retained rows count as cheap up to this share of the cost of retraining."""
OTHER_SEED = "retrain_other_seed"


@dataclass(frozen=True)
class UnlearnerRow:
    """Results of one unlearner; figures are `None` if they are not defined or the unlearner failed.

    seeds: number of games compared; rmse: root mean squared error of the utilities, mean over
    seeds; rmse_by_share: the same for coalitions with 0–25, 25–50, 50–75 and 75–100 % of the rows
    forgotten; noise_floor, noise_by_share: the same between retrainings with different seeds;
    spearman_utilities: rank correlation of utilities; spearman, rel_l2: rank correlation and
    relative error of values, mean over seeds, with standard deviations; cost_share: CPU seconds
    divided by those of retraining; reason: why the unlearner failed.
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
    """Coalitions of players that are compared `(m, n)`: those of the plan.

    In a partial game, other providers stay when no player does. The coalition without players is
    therefore compared too, and comes first.
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
    """A row for each unlearner, then the controls, then unlearners with a correction.

    games: one for each pretraining seed, with the same players, rows and test set; truth: utilities
    of `compared_coalitions` after real retraining `(seeds, m)`, computed here if not given; limits:
    `chunk_size` and `memory_mb`, without them chunks have 64 coalitions; advance: called with the
    number of coalitions done. `cost_share` compares the CPU seconds of this process for unlearning
    and for retraining the same coalitions; if the truth is given, only a sample is retrained.

    Controls: `no_unlearning`; `truncated_retrain`, as given or else at the cost of the best cheap
    unlearner that reads retained rows; `retrain_other_seed`, the best that can be expected. An
    unlearner that fails gets a row with the reason. Raises `InputError` if the players of the games
    differ or rows are missing.
    """
    comparison = _prepare(games, plan, utility, truth, limits, advance)
    given = [u for u in unlearners if not isinstance(u, NoUnlearning | TruncatedRetrainUnlearner)]
    rows = [comparison.run(unlearner) for unlearner in given]
    truncated = [u for u in unlearners if isinstance(u, TruncatedRetrainUnlearner)]
    rows.append(comparison.run(NoUnlearning()))
    rows += [comparison.run(u) for u in truncated or [_equal_cost(rows, games[0])]]
    rows.append(comparison.other_seed())
    for unlearner in given:
        if unlearner.name in CORRECTED and unlearner.name in comparison.predictions:
            rows += comparison.corrected(unlearner)
    return rows


@dataclass
class _Comparison:
    """What all rows of the comparison share.

    truth: retrained utilities `(seeds, m)`; seconds: CPU time to retrain all coalitions of one
    seed; ends: U(none) and U(all) `(seeds, 2)`; forgotten: share of rows `(m,)`; predictions:
    utilities `(seeds, m)` and cost share by unlearner.
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
        predictions, mean_seconds = [], 0.0
        for game in self.games:
            try:
                predicted, seconds = _measure_timed(
                    game, unlearner, self.coalitions, self.utility, self.limits, self.advance
                )
            except UnshapleyError as error:
                reason = error.what if isinstance(error, InputError) else str(error).splitlines()[0]
                return self.failed(unlearner.name, unlearner, reason)
            predictions.append(predicted)
            mean_seconds += seconds / len(self.games)
        cost = mean_seconds / self.seconds
        self.predictions[unlearner.name] = (np.array(predictions), cost)
        return self.row(unlearner.name, unlearner, np.array(predictions), cost)

    def other_seed(self) -> UnlearnerRow:
        """The row of retraining with another seed: the best that can be expected."""
        if len(self.games) < 2:
            return self.failed(OTHER_SEED, RetrainUnlearner(), "needs two seeds")
        shifted, ends = np.roll(self.truth, -1, axis=0), np.roll(self.ends, -1, axis=0)
        return self.row(OTHER_SEED, RetrainUnlearner(), shifted, 1.0, ends)

    def corrected(self, unlearner: Unlearner) -> list[UnlearnerRow]:
        """The row of an unlearner corrected by a few retrainings; no row if the unlearner retrains
        every coalition itself, or the game is partial.
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
        kept, held = 1 - self.forgotten, kept_rows(game, self.coalitions)
        corrected, extra = [], 0.0
        for k, unlearned in enumerate(predictions):
            chosen = choose(count, k, exact, self.coalitions)
            retrained = (chosen, self.truth[k][chosen])
            try:
                correction = correct(
                    self.coalitions,
                    held,
                    unlearned,
                    retrained,
                    exact,
                    k,
                    vanishing=fitted.vanishes,
                )
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
        """All figures of predictions `(seeds, m)`; ends: their U(none) and U(all) `(seeds, 2)`."""
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
            spearman_std=_std(ranks),
            rel_l2=_mean(relative),
            rel_l2_std=_std(relative),
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
        # in a partial game the first coalition is the one without players
        planned = utilities[len(utilities) - len(self.plan.coalitions) :]
        u_none = utilities[:1] if len(planned) < len(utilities) else ends[:1]
        with_ends = np.concatenate([u_none, planned, ends[1:]])
        return estimate(self.plan, with_ends).value


def _prepare(
    games: Sequence[Game],
    plan: Plan,
    utility: Utility,
    truth: Floats | None,
    limits: ValuationSettings | None,
    advance: Callable[[int], None],
) -> _Comparison:
    """Retrain the coalitions, or a sample if the truth is given, and measure the time."""
    first = games[0]
    if any((g.players, g.providers) != (first.players, first.providers) for g in games):
        raise InputError("the games have different players", expected="one game, several seeds")
    coalitions = compared_coalitions(first, plan)
    retrainer = RetrainUnlearner()
    if truth is None:
        timed = [
            _measure_timed(game, retrainer, coalitions, utility, limits, advance) for game in games
        ]
        truth = np.array([utilities for utilities, _ in timed])
        seconds = float(np.mean([spent_seconds for _, spent_seconds in timed]))
    else:
        order = np.argsort(coalitions.sum(axis=1), kind="stable")
        middle = max(0, (len(order) - SAMPLE) // 2)
        sample = coalitions[order[middle : middle + SAMPLE]]  # of average size
        seconds = _measure_timed(first, retrainer, sample, utility, limits, lambda _: None)[1]
        seconds *= len(coalitions) / len(sample)
    measured = [measure_endpoints(game, NoUnlearning(), [utility]) for game in games]
    ends = [endpoints.utilities[utility.name] for endpoints in measured]
    share = first.pretrained.share(first.staying(coalitions)).cpu().numpy()
    return _Comparison(
        games, plan, utility, coalitions, truth, seconds, np.array(ends), 1 - share, limits, advance
    )


def _measure_timed(
    game: Game,
    unlearner: Unlearner,
    coalitions: Coalitions,
    utility: Utility,
    limits: ValuationSettings | None,
    advance: Callable[[int], None],
) -> tuple[Floats, float]:
    """Utilities `(m,)`, measured in chunks of similar cost, and the CPU seconds that this took."""
    if isinstance(unlearner, AutoUnlearner) and unlearner.method is None:
        return _measure_calibrated(game, unlearner, coalitions, utility, limits, advance)
    size = chunk_size(game, unlearner, coalitions, limits) if limits else CHUNK
    start = time.process_time()
    staying = game.staying(coalitions)
    fitted = unlearner.fitted(game.pretrained, staying)
    order = np.argsort(game.pretrained.share(staying).cpu().numpy(), kind="stable")
    out = np.empty(len(coalitions))
    done = 0
    for part in chunks(coalitions[order], size):
        out[order[done : done + len(part)]] = measure(game, fitted, part, [utility])[utility.name]
        done += len(part)
        advance(len(part))
    return out, time.process_time() - start


def _measure_calibrated(
    game: Game,
    auto: AutoUnlearner,
    coalitions: Coalitions,
    utility: Utility,
    limits: ValuationSettings | None,
    advance: Callable[[int], None],
) -> tuple[Floats, float]:
    """The same for `auto`: calibrated, measured and corrected as a valuation does."""
    start = time.process_time()

    def measured(unlearner: Unlearner, part: Coalitions) -> Floats:
        return _measure_timed(game, unlearner, part, utility, limits, lambda _: None)[0]

    found = calibrate(game, auto, coalitions, coalitions, CalibrationSettings(), measured)
    utilities = np.empty(len(coalitions))
    utilities[found.rows] = found.retrained
    rest = np.setdiff1d(np.arange(len(coalitions)), found.rows)
    utilities[rest] = measured(found.unlearner, coalitions[rest])
    staying = game.staying(coalitions)
    exact = found.unlearner.exact(game.pretrained, staying).cpu().numpy()
    if len(found.rows) >= FEWEST:
        learnt, kept = (found.rows, found.retrained), kept_rows(game, coalitions)
        before, vanishing = found.before(utilities), found.unlearner.vanishes
        correction = correct(coalitions, kept, before, learnt, exact, 0, vanishing=vanishing)
        if found.is_improved_by(correction):
            utilities = correction.corrected
    advance(len(coalitions))
    log.info("auto: %s (%s)", found.unlearner.method, found.reason)
    return utilities, time.process_time() - start


def _equal_cost(rows: Sequence[UnlearnerRow], game: Game) -> TruncatedRetrainUnlearner:
    """Truncated retraining at the cost of the best cheap unlearner that reads retained rows; at
    the cost `CHEAP` if there is none.
    """
    rivals = [
        (row.rmse, row.cost_share)
        for row in rows
        if row.rmse is not None and row.cost_share is not None
        if not row.retain_free and not row.control
    ]
    limit = max(CHEAP, min((cost for _, cost in rivals), default=0.0))
    cost = min((rival for rival in rivals if rival[1] <= limit), default=(0.0, CHEAP))[1]
    return TruncatedRetrainUnlearner(steps=max(1, round(cost * full_steps(game.pretrained))))


def _mean_rmse(pairs: Sequence[tuple[Floats, Floats]]) -> float | None:
    if not pairs:
        return None
    return float(np.mean([math.sqrt(float(np.mean((a - b) ** 2))) for a, b in pairs]))


def _rank(a: Floats, b: Floats) -> float | None:
    return spearman(a.round(12).tolist(), b.round(12).tolist())


def _mean(figures: Sequence[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return float(np.mean(known)) if len(known) == len(figures) else None


def _std(figures: Sequence[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return float(np.std(known, ddof=1)) if len(known) == len(figures) > 1 else None
