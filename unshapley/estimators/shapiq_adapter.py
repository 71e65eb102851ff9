"""Our games as games of shapiq, and shapiq's approximators as estimators `shapiq:NAME`.

shapiq (Muschalik et al., "shapiq: Shapley Interactions for Machine Learning", NeurIPS 2024) is an
optional extra: `pip install 'unshapley[shapiq]'`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from unshapley.errors import InputError
from unshapley.estimators.base import SAMPLING, Estimate, Estimator, Floats, Plan
from unshapley.game.coalitions import Coalitions, keys, to_bits

if TYPE_CHECKING:
    from shapiq import Game

PREFIX = "shapiq:"
OPTIONS: dict[str, dict[str, Any]] = {
    "KernelSHAP": {"pairing_trick": True},
    "UnbiasedKernelSHAP": {"pairing_trick": True},
    "kADDSHAP": {"max_order": 2, "pairing_trick": True},
}
"""Options for which shapiq's defaults are not the best choice."""
MAX_REPEATS = 8
"""Largest budget for approximators that repeat coalitions, as a multiple of ours."""
Call = Callable[[Coalitions], Floats]


def shapiq_game(n: int, measure: Call) -> Game:
    """A `shapiq.Game` of n providers with utilities from `measure`, `(m, n)` → `(m,)`.

    The empty coalition is measured here: shapiq subtracts its utility from all others.
    """
    base: Any = _shapiq().Game

    class _MeasuredGame(base):  # type: ignore[misc]
        def value_function(self, coalitions: NDArray[Any]) -> Floats:
            return measure(np.atleast_2d(coalitions).astype(bool))

    empty_utility = float(measure(np.zeros((1, n), dtype=bool))[0])
    game: Game = _MeasuredGame(n, normalize=True, normalization_value=empty_utility)
    return game


def stored_game(coalitions: Coalitions, utilities: Floats) -> Game:
    """A `shapiq.Game` of stored utilities `(m,)` of coalitions `(m, n)`, with the empty one."""
    return shapiq_game(coalitions.shape[1], stored(coalitions, utilities))


def stored(coalitions: Coalitions, utilities: Floats) -> Call:
    """A function that looks utilities up; it raises `InputError` for an unknown coalition."""
    known = dict(zip(keys(coalitions), utilities.tolist(), strict=True))

    def look_up(requested: Coalitions) -> Floats:
        values = [known.get(key) for key in keys(requested)]
        if None in values:
            name = to_bits(requested[[values.index(None)]])[0]
            raise InputError(
                f"shapiq asks for coalition {name}, whose utility is not stored",
                expected="an approximator whose coalitions do not depend on utilities",
                do="choose another estimator, or measure all coalitions",
            )
        return np.array(values, dtype=np.float64)

    return look_up


@dataclass(frozen=True)
class ShapiqPlan(Plan):
    """A plan with shapiq's budget and the seed, which its estimate needs to draw it again."""

    budget: int = 0
    seed: int = 0


class ShapiqEstimator:
    """An approximator of shapiq: `shapiq:KernelSHAP`, or any other that gives Shapley values.

    The plan is what the approximator asks for in a game of zeros; the estimate runs it again, with
    the same seed, on the measured utilities. An approximator whose coalitions depend on utilities
    raises `InputError` when it asks for an unmeasured one. shapiq counts repeated coalitions, we
    count distinct ones, so an approximator that repeats some is given a larger budget. shapiq gives
    no sampling error: covariances are NaN. Values of some (SVARM, OwenSamplingSV, …) need not sum
    to U(all) − U(none). The plan of a larger budget need not begin with that of a smaller one.
    """

    name: ClassVar[str] = PREFIX

    def __init__(self, approximator: str) -> None:
        known = approximators()
        if approximator not in known:
            raise InputError(
                f"shapiq has no approximator {approximator!r} of Shapley values",
                where="valuation.estimator",
                expected=f"{PREFIX} and one of {', '.join(sorted(known))}",
            )
        self.approximator = approximator
        self.kind = known[approximator]

    def plan(self, n: int, budget: int, seed: int) -> Plan:
        def coalitions_for(count: int) -> Coalitions:
            return self._record(n, count, seed)

        largest, coalitions = _largest_budget(coalitions_for, budget)
        if not len(coalitions):
            raise InputError(
                f"shapiq's {self.approximator} measures nothing within {budget} coalitions",
                where="valuation.budget",
                do="raise the budget, or set valuation.estimator: auto",
            )
        reason = f"shapiq's {self.approximator} asks for these {len(coalitions)} coalitions"
        return ShapiqPlan(PREFIX + self.approximator, coalitions, reason, budget=largest, seed=seed)

    def estimate(self, plan: Plan, table: Floats, semivalue: Floats) -> Estimate:
        n = plan.n
        if not np.allclose(semivalue, 1 / n):
            raise InputError("shapiq gives Shapley values only", where="valuation.estimator")
        assert isinstance(plan, ShapiqPlan)
        ends = np.array([[False], [True]]).repeat(n, axis=1)
        known = np.vstack([ends[:1], plan.coalitions, ends[1:]])
        game = shapiq_game(n, stored(known, table))
        value = self._run(n, plan.budget, plan.seed, game)
        unknown = np.full((n, n), np.nan)
        count = np.array([len(plan.coalitions)])
        return Estimate(value, {SAMPLING: unknown}, value[None], count, efficient=False)

    def _record(self, n: int, count: int, seed: int) -> Coalitions:
        """The approximator's distinct coalitions, without the empty and the full one `(m, n)`."""
        distinct: dict[bytes, NDArray[np.bool_]] = {}

        def remember(coalitions: Coalitions) -> Floats:
            distinct.update(zip(keys(coalitions), coalitions.copy(), strict=True))
            return np.zeros(len(coalitions))

        self._run(n, count, seed, shapiq_game(n, remember))
        rows = [row for row in distinct.values() if row.any() and not row.all()]
        return np.array(rows, dtype=bool).reshape(-1, n)

    def _run(self, n: int, count: int, seed: int, game: Game) -> Floats:
        options = OPTIONS.get(self.approximator, {})
        try:
            values = self.kind(n=n, random_state=seed, **options).approximate(count, game)
        except InputError:
            raise
        except (ImportError, ValueError, ArithmeticError, LookupError) as error:
            raise InputError(
                f"shapiq's {self.approximator} fails with {n} providers and {count} coalitions: "
                f"{error}",
                where="valuation.estimator",
                do="raise the budget, or set valuation.estimator: auto",
            ) from error
        return np.array([values[(i,)] for i in range(n)], dtype=np.float64)


class WithShapiq(dict[str, Estimator]):
    """Estimators by name; `shapiq:NAME` can be looked up but is not listed."""

    def __missing__(self, name: str) -> Estimator:
        if not name.startswith(PREFIX):
            raise KeyError(name)
        return ShapiqEstimator(name.removeprefix(PREFIX))


def approximators() -> dict[str, Any]:
    """Approximators of Shapley values by name; `InputError` where shapiq is not installed."""
    _shapiq()
    from shapiq.approximator import SV_APPROXIMATORS

    kinds: list[Any] = list(SV_APPROXIMATORS)
    return {kind.__name__: kind for kind in kinds}


def _shapiq() -> ModuleType:
    try:
        return importlib.import_module("shapiq")
    except ImportError as error:
        raise InputError(
            "shapiq is not installed",
            where="valuation.estimator",
            do="pip install 'unshapley[shapiq]'",
        ) from error


def _largest_budget(
    coalitions_for: Callable[[int], Coalitions], budget: int
) -> tuple[int, Coalitions]:
    """The largest shapiq budget with at most `budget` distinct coalitions, and these coalitions."""
    low, high = budget + 2, MAX_REPEATS * (budget + 2)
    best = coalitions_for(low)
    # only where coalitions repeat, a larger shapiq budget can still stay within ours
    while low < high and len(best) < budget:
        middle = min(high, low + max(1, budget - len(best)))
        candidates = coalitions_for(middle)
        if len(candidates) > budget:
            high = middle - 1
            middle = (low + high) // 2
            candidates = coalitions_for(middle)
        if len(candidates) > budget or middle == low or len(candidates) <= len(best):
            break
        low, best = middle, candidates
    return low, best
