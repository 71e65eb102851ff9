"""Fidelity: does unlearning predict what really retraining would have given?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from unshapley.game.coalitions import Coalitions

WEAK = 0.75
"""Values of which less is explained are published with a warning: ranks may be wrong."""
ALL_RETRAINED = "every coalition was really retrained, so there is no unlearning to check"
ROWS_ABSENT = "rows of providers are absent, so nothing can be retrained to check unlearning"


@dataclass(frozen=True)
class Fidelity:
    """Retrained against unlearned utilities of a few coalitions, for the primary utility.

    retrained, unlearned: `(m,)`, in the order of `coalitions` `(m, n)`; no_unlearning: U(all).
    rmse, rmse_no_unlearning: root mean squared error against `retrained`; spearman: of the
    utilities, `None` with fewer than three coalitions. status: trusted, untrusted or unchecked.
    reason: why nothing was compared, if that was not the user's wish.
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

    @property
    def explained(self) -> float | None:
        """Share of the squared error of not unlearning that unlearning takes away; 1 is best."""
        if self.rmse is None or not self.rmse_no_unlearning:
            return None
        return 1 - (self.rmse / self.rmse_no_unlearning) ** 2

    def summary(self) -> dict[str, Any]:
        """The figures that metrics.json holds."""
        return {
            "status": self.status,
            "reason": self.reason,
            "coalitions": len(self.coalitions),
            "rmse": self.rmse,
            "rmse_no_unlearning": self.rmse_no_unlearning,
            "spearman": self.spearman,
            "explained": self.explained,
            "weak": self.explained is not None and self.explained < WEAK,
        }


def stratified(n: int, count: int, seed: int) -> Coalitions:
    """`count` distinct random coalitions `(count, n)`, sizes spread evenly over 1 … n − 1."""
    count = min(count, 2**n - 2)
    rng = np.random.default_rng(seed)
    chosen: dict[bytes, np.ndarray] = {}
    sizes = np.linspace(1, n - 1, count).round().astype(int)
    while len(chosen) < count:
        # a size whose coalitions are used up gives way to a random one
        size = sizes[len(chosen)] if rng.random() < 0.9 else rng.integers(1, n)
        row = np.zeros(n, dtype=bool)
        row[rng.choice(n, size=size, replace=False)] = True
        chosen.setdefault(row.tobytes(), row)
    return np.array(list(chosen.values()), dtype=bool).reshape(-1, n)


def check_fidelity(
    coalitions: Coalitions,
    retrained: Sequence[float],
    unlearned: Sequence[float],
    full: float,
    reason: str = "",
) -> Fidelity:
    """The verdict: trusted if unlearning errs less than leaving the model as it is.

    coalitions: those that were retrained `(m, n)`, with their utilities `(m,)`; `full` is U(all),
    the prediction for all of them of leaving the model as it is. Without any, `reason` says why:
    trusted if it is `ALL_RETRAINED`, else unchecked.
    """
    if not len(coalitions):
        status = "trusted" if reason == ALL_RETRAINED else "unchecked"
        return Fidelity(status, coalitions, (), (), full, None, None, None, reason)
    error = _rmse(unlearned, retrained)
    control = _rmse([full] * len(retrained), retrained)
    return Fidelity(
        "trusted" if error < control else "untrusted",
        coalitions,
        tuple(retrained),
        tuple(unlearned),
        full,
        error,
        control,
        spearman(retrained, unlearned),
    )


def leave_one_out(n: int) -> Coalitions:
    """Everybody but one `(n, n)`, in provider order."""
    return ~np.eye(n, dtype=bool)


def spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Rank correlation; `None` where it is not defined (fewer than 3, or all equal)."""
    if len(a) < 3 or len(set(a)) < 2 or len(set(b)) < 2:
        return None
    return float(stats.spearmanr(a, b).statistic)


def _rmse(a: Sequence[float], b: Sequence[float]) -> float:
    return math.sqrt(float(np.mean((np.array(a) - np.array(b)) ** 2)))
