"""Stopping rules: rounds are fixed in advance, and rules are checked after each round.

What a round measures depends on the parameters only. Time can only decide after which round a run
ends, and this is recorded.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from unshapley.config import StopSettings
from unshapley.errors import InputError
from unshapley.estimators import Estimate

GROWTH = 1.5
NO_ERRORS = "shapiq:"
"""Prefix of estimators without errors, whose larger plans do not extend smaller ones."""
DRAWS = 4000


def affordable(budget: int, stop: StopSettings) -> int:
    """Number of coalitions that budget and cost allow; `InputError` if the cost allows none."""
    if stop.cost is None:
        return budget
    count = min(budget, int(Fraction(str(stop.cost)) / Fraction(str(stop.price))))
    if count < 1:
        raise InputError(
            f"{stop.cost:g} does not pay for one coalition at {stop.price:g}",
            where="valuation.stop.cost",
            do="raise it",
        )
    return count


def cost_reason(stop: StopSettings, budget: int) -> str:
    """Text for the plan's reason if the cost limits the budget, else empty."""
    count = affordable(budget, stop)
    if count == budget:
        return ""
    return f"; a cost of {stop.cost:g} pays for {count} of the budget of {budget}"


def check_rules(stop: StopSettings, estimator: str, n: int) -> None:
    """Raise `InputError` for rules that cannot work for n providers or this estimator."""
    if stop.top_k is not None and stop.top_k >= n:
        raise InputError(
            f"the top {stop.top_k} of {n} providers are no choice",
            where="valuation.stop.top_k",
            expected=f"at most {n - 1}",
        )
    if stop.needs_interim_estimates and estimator.startswith(NO_ERRORS):
        raise InputError(
            f"{estimator} cannot be stopped early: it has no standard errors, and the first "
            "part of its plan is not a smaller plan",
            where="valuation.stop",
            expected="no half_width, top_k or seconds",
            do="remove them, give valuation.stop.cost or a smaller budget, or set "
            "valuation.estimator: auto",
        )


def rounds(planned: int, window: int, stop: StopSettings) -> list[int]:
    """Number of coalitions measured by the end of each round; the last is `planned`.

    window: coalitions that are split into chunks at once; rounds are whole windows, so that a run
    in rounds measures the same chunks as a run without.
    """
    if not stop.needs_interim_estimates:
        return [planned]
    ends, end = [], window
    while end < planned:
        ends.append(end)
        end = max(end + window, -(-int(end * GROWTH) // window) * window)
    return [*ends, planned]


def reached(stop: StopSettings, estimate: Estimate, seconds: float) -> str | None:
    """Description of the first rule that is met; None if there is none."""
    if stop.half_width is not None:
        widest = float((estimate.ci_high - estimate.value).max())
        if widest <= stop.half_width:
            return f"every 95 % interval is within ± {stop.half_width:g}"
    if stop.top_k is not None:
        chance = top_k_probability(estimate, stop.top_k)
        if chance >= stop.probability:
            return f"the top {stop.top_k} are right with probability {chance:.2f}"
    if stop.seconds is not None and seconds >= stop.seconds:
        return f"{stop.seconds:g} seconds are over"
    return None


def top_k_probability(estimate: Estimate, k: int, seed: int = 0) -> float:
    """Probability that the k providers with the largest values also have the largest true values.

    By simulation: true values are normal around the estimates with covariance `widened`.
    """
    n = len(estimate.value)
    covariance = estimate.widened
    if not np.isfinite(covariance).all():
        return 0.0
    rng = np.random.default_rng(seed)
    variances, vectors = np.linalg.eigh(covariance)
    spread = vectors * np.sqrt(np.clip(variances, 0, None))
    draws = estimate.value + rng.standard_normal((DRAWS, n)) @ spread.T
    top = _top(estimate.value[None], k)
    return float((_top(draws, k) == top).all(axis=1).mean())


def _top(values: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Sorted indices of the k largest of every row `(rows, k)`."""
    out: NDArray[np.int64] = np.sort(np.argsort(-values, axis=1, kind="stable")[:, :k], axis=1)
    return out
