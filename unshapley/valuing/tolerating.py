"""Step: by how much numbers may differ elsewhere, from what float64 changes here."""

from __future__ import annotations

from typing import Any

import numpy as np

from unshapley.game.rounding import DERIVED, FEW, FEW_RETRAINED, of_flipped_rows, tolerances
from unshapley.unlearning import Unlearner
from unshapley.unlearning.retrain import RetrainUnlearner
from unshapley.valuing.execution import Execution
from unshapley.valuing.measuring import MeasuredPlan

SHARE = 100
"""One coalition in so many is measured in float64 too, two at least: it costs little of the run."""


def tolerances_of(execution: Execution, measured: MeasuredPlan) -> dict[str, Any]:
    """Tolerance of each utility by step: of unlearned coalitions, and of retrained ones; and what
    the values, derived from the same utilities, may differ by.
    """
    game, found = measured.setup.game, measured.measured
    everything = found.joined(measured.endpoints)
    scale = {name: float(np.abs(values).max()) for name, values in everything.utilities.items()}
    kinds: dict[str, tuple[Unlearner, Any, int]] = {
        "measure": (measured.setup.unlearner, ~measured.exact, FEW),
        "retrain": (RetrainUnlearner(), measured.exact, FEW_RETRAINED),
    }
    out: dict[str, Any] = {"aggregate": _short(DERIVED * scale[found.primary])}
    with execution.step("tolerate"):
        for step, (unlearner, among, most) in kinds.items():
            rows = np.flatnonzero(among)
            sizes = measured.plan.coalitions[rows].sum(axis=1)
            if step == "retrain":  # those that keep least cost least
                rows = rows[np.argsort(sizes, kind="stable")]
            rows = rows[: min(most, max(2, len(found) // SHARE))]
            if len(rows):
                size = measured.setup.chunk_size
                allowed = tolerances(game, unlearner, found.take(rows), scale, size)
                out[step] = {
                    name: _short(max(value, of_flipped_rows(game, name)))
                    for name, value in allowed.items()
                }
    return out


def _short(number: float) -> float:
    """Two digits say all there is to say."""
    return float(f"{number:.1e}")
