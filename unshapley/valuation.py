"""The result of a valuation, and the tables that are published of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from unshapley.coalitions import Coalitions, to_bits
from unshapley.correction import Correction, with_correction
from unshapley.errors import UnshapleyError
from unshapley.estimators import CORRECTION, ESTIMATORS, Estimate, Plan
from unshapley.fidelity import Fidelity
from unshapley.measurement import Utilities
from unshapley.semivalues import shapley

ENDPOINT = -1
"""The `chunk` of nobody and everybody, which no chunk measures."""


@dataclass(frozen=True)
class Valuation:
    """Values of the players for the primary utility, with all that they were computed from.

    rows: training rows by provider, quarantined ones included; chunk_ids: chunk of every coalition
    of the plan `(m,)`; utilities: of the plan's coalitions, each `(m,)`; endpoints: of nobody and
    everybody.
    """

    players: tuple[str, ...]
    rows: Mapping[str, int]
    quarantined: Mapping[str, str]
    primary: str
    plan: Plan
    chunk_ids: tuple[int, ...]
    utilities: Utilities
    endpoints: Utilities
    estimate: Estimate
    fidelity: Fidelity
    correction: Correction | None = None
    unlearner: tuple[Any, ...] = ()
    """name and options, as they were resolved for the plan"""

    @property
    def u_none(self) -> float:
        return self.endpoints[self.primary][0]

    @property
    def u_all(self) -> float:
        return self.endpoints[self.primary][1]


def estimate_values(
    plan: Plan,
    players: Sequence[str],
    utilities: Utilities,
    endpoints: Utilities,
    name: str,
    correction: Correction | None = None,
) -> Estimate:
    """Values of the players from the utility `name`; they sum to U(all) − U(none).

    With a `correction` from the corrected utilities, its uncertainty in the standard errors.
    """
    none, everybody = endpoints[name]
    measured = utilities[name] if correction is None else correction.corrected
    table = np.array([none, *measured, everybody])
    estimate = ESTIMATORS[plan.estimator].estimate(plan, table, shapley(len(players)))
    if correction is not None:
        estimate = with_correction(correction, estimate)
    gap = abs(estimate.value.sum() - (everybody - none))
    if gap > 1e-6:
        raise UnshapleyError(f"values miss efficiency by {gap:.3g}: this is a defect of unshapley")
    return estimate


def values_table(valuation: Valuation) -> pd.DataFrame:
    """values.csv: `provider, rows, value, std_error, ci_low, ci_high, rank, status`.

    In provider order; rank 1 is the largest value; quarantined providers have neither.
    """
    estimate = valuation.estimate
    order = np.argsort(-estimate.value, kind="stable")
    rank = np.empty(len(order), dtype=int)
    rank[order] = np.arange(1, len(order) + 1)
    valued = pd.DataFrame(
        {
            "provider": valuation.players,
            "rows": [valuation.rows[p] for p in valuation.players],
            "value": estimate.value,
            "std_error": estimate.std_error,
            "ci_low": estimate.ci_low,
            "ci_high": estimate.ci_high,
            "rank": pd.array(rank, dtype="Int64"),
            "status": "valued",
        }
    )
    left_out = pd.DataFrame(
        {
            "provider": list(valuation.quarantined),
            "rows": [valuation.rows[p] for p in valuation.quarantined],
            "status": "quarantined",
        }
    )
    table = pd.concat([valued, left_out]) if len(left_out) else valued
    return table.sort_values("provider", ignore_index=True)[list(valued.columns)]


def utilities_table(valuation: Valuation) -> pd.DataFrame:
    """utilities.parquet: `coalition` (bits in provider order), `chunk`, one column a utility, and
    the primary one corrected where retrainings correct it.
    """
    n = len(valuation.players)
    both: Coalitions = np.array([[False] * n, [True] * n])
    frame = pd.DataFrame(
        {
            "coalition": to_bits(both) + to_bits(valuation.plan.coalitions),
            "chunk": [ENDPOINT, ENDPOINT, *valuation.chunk_ids],
        }
    )
    for name, values in valuation.utilities.items():
        frame[name] = [*valuation.endpoints[name], *values]
    if valuation.correction is not None:
        ends = valuation.endpoints[valuation.primary]
        frame[f"{valuation.primary}_corrected"] = [*ends, *valuation.correction.corrected]
    return frame


def convergence_table(valuation: Valuation) -> pd.DataFrame:
    """plots/convergence.csv: every provider's estimate after so many measured coalitions."""
    estimate = valuation.estimate
    return pd.DataFrame(
        [
            {"coalitions": int(m), "provider": p, "value": float(v)}
            for m, row in zip(estimate.measured, estimate.history, strict=True)
            for p, v in zip(valuation.players, row, strict=True)
        ]
    )


def fidelity_table(valuation: Valuation) -> pd.DataFrame:
    """plots/fidelity.csv: retrained and unlearned utility of every checked coalition."""
    fidelity = valuation.fidelity
    return pd.DataFrame(
        {
            "coalition": fidelity.coalitions,
            "size": [bits.count("1") for bits in fidelity.coalitions],
            "retrained": fidelity.retrained,
            "unlearned": fidelity.unlearned,
            "no_unlearning": fidelity.no_unlearning,
        }
    )


def metrics(valuation: Valuation) -> dict[str, Any]:
    """metrics.json."""
    return {
        "utility": valuation.primary,
        "u_all": valuation.u_all,
        "u_none": valuation.u_none,
        "sum_of_values": float(valuation.estimate.value.sum()),
        "largest_std_error": float(valuation.estimate.std_error.max()),
        "largest_correction_error": None
        if (left := valuation.estimate.error_of(CORRECTION)) is None
        else float(left.max()),
        "coalitions": len(valuation.plan.coalitions),
        "providers_valued": len(valuation.players),
        "providers_quarantined": len(valuation.quarantined),
        "fidelity": valuation.fidelity.summary(),
    }
