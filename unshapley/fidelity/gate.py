"""The fidelity check: does unlearning predict the result of real retraining?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from unshapley.config import FidelitySettings
from unshapley.fidelity.implied import ImpliedErrors
from unshapley.game.coalitions import Coalitions, everybody

WEAK = 0.75
"""If `explained` is below this, and values are not known to rank well, they are published with a
warning."""
ALL_RETRAINED = "every coalition was really retrained, so there is no unlearning to check"
ROWS_ABSENT = "rows of providers are absent, so nothing can be retrained to check unlearning"
NO_RECIPE = (
    "how the model was trained is not stated, so nothing can be retrained to check unlearning"
)


@dataclass(frozen=True)
class Fidelity:
    """Retrained and unlearned values of the primary utility for a few coalitions, compared.

    retrained, unlearned: `(m,)`, in the order of `coalitions` `(m, n)`; no_unlearning: U(all).
    rmse, rmse_no_unlearning: root mean squared error against `retrained`; spearman: rank
    correlation of the utilities, `None` with fewer than three coalitions. status: trusted,
    untrusted or unchecked. reason: why nothing was compared, unless the user asked for that.
    implied: what the comparison implies for the values.
    """

    status: str
    coalitions: Coalitions
    retrained: tuple[float, ...]
    unlearned: tuple[float, ...]
    no_unlearning: float
    rmse: float | None
    rmse_no_unlearning: float | None
    spearman: float | None
    reason: str = ""
    implied: ImpliedErrors | None = None

    @property
    def grade(self) -> str | None:
        """What the values are good for: values, ranks, extremes or none; `None` if not examined."""
        if self.reason == ALL_RETRAINED:
            return "values"
        if self.status == "untrusted":
            return "none"
        return None if self.implied is None else self.implied.grade

    @property
    def beats_no_unlearning(self) -> bool:
        """Whether unlearning has a smaller error than leaving the model unchanged."""
        return self.rmse is not None and self.rmse < (self.rmse_no_unlearning or 0.0)

    @property
    def explained(self) -> float | None:
        """Share by which unlearning reduces the squared error of not unlearning; 1 is best."""
        if self.rmse is None or not self.rmse_no_unlearning:
            return None
        return 1 - (self.rmse / self.rmse_no_unlearning) ** 2

    @property
    def is_weak(self) -> bool:
        """Whether unlearning explains little of what forgetting does, and the values were not found
        to be good for more than telling the extremes apart.
        """
        explained = self.explained is not None and self.explained < WEAK
        return explained and self.grade not in ("values", "ranks")

    def summary(self) -> dict[str, Any]:
        """The figures that metrics.json holds."""
        return {
            "status": self.status,
            "grade": self.grade,
            "reason": self.reason,
            "coalitions": len(self.coalitions),
            "rmse": self.rmse,
            "rmse_no_unlearning": self.rmse_no_unlearning,
            "spearman": self.spearman,
            "explained": self.explained,
            "weak": self.is_weak,
            "implied": None if self.implied is None else self.implied.summary(),
        }


def check_fidelity(
    coalitions: Coalitions,
    retrained: Sequence[float],
    unlearned: Sequence[float],
    full: float,
    reason: str = "",
    implied: ImpliedErrors | None = None,
) -> Fidelity:
    """The verdict: trusted if unlearning has a smaller error than leaving the model unchanged, and
    if what that implies for the values tells at least the best and the worst provider apart.

    coalitions: retrained coalitions `(m, n)`; retrained, unlearned: their utilities `(m,)`; full:
    U(all), the prediction for every coalition if the model is left unchanged; reason: why there are
    no coalitions; implied: errors of the values, where they were examined. Without coalitions, the
    verdict is trusted for `ALL_RETRAINED`, else unchecked.
    """
    if not len(coalitions):
        return nothing_compared(coalitions.shape[1], full, reason)
    error = _rmse(unlearned, retrained)
    control = _rmse([full] * len(retrained), retrained)
    useful = implied is None or implied.grade != "none"
    return Fidelity(
        "trusted" if error < control and useful else "untrusted",
        coalitions,
        tuple(retrained),
        tuple(unlearned),
        full,
        error,
        control,
        spearman(retrained, unlearned),
        implied=implied,
    )


def nothing_compared(n: int, full: float, reason: str) -> Fidelity:
    """The verdict on values of n players of which nothing was compared, and why."""
    status = "trusted" if reason == ALL_RETRAINED else "unchecked"
    return Fidelity(status, everybody(n)[:0], (), (), full, None, None, None, reason)


def may_publish(fidelity: Fidelity, settings: FidelitySettings) -> bool:
    """Whether the values may be published: the gate.

    Trusted values may; unchecked ones only if the user says so; untrusted ones never.
    """
    unchecked = fidelity.status == "unchecked" and settings.publish_unchecked
    return fidelity.status == "trusted" or unchecked


def leave_one_out(n: int) -> Coalitions:
    """Coalitions `(n, n)` without one player each, in provider order."""
    return ~np.eye(n, dtype=bool)


def spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Rank correlation; `None` if it is not defined (fewer than 3 numbers, or all equal)."""
    if len(a) < 3 or len(set(a)) < 2 or len(set(b)) < 2:
        return None
    ranks = pd.Series(a).rank(), pd.Series(b).rank()
    return float(np.corrcoef(*ranks)[0, 1])


def _rmse(a: Sequence[float], b: Sequence[float]) -> float:
    return math.sqrt(float(np.mean((np.array(a) - np.array(b)) ** 2)))
