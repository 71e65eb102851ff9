"""The result of a valuation, and the tables that are published of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from unshapley.coalitions import Coalitions, to_bits
from unshapley.correction import Correction, with_correction
from unshapley.errors import InputError, UnshapleyError
from unshapley.estimators import CORRECTION, SAMPLING, TEST_SET, Estimate, Plan, estimate
from unshapley.estimators.base import Floats
from unshapley.fidelity import Fidelity
from unshapley.interactions import interactions
from unshapley.least_core import least_core
from unshapley.measurement import Resampled, Utilities
from unshapley.semivalues import SEMIVALUES

PARTS = {"sampling": SAMPLING, "test": TEST_SET, "correction": CORRECTION}
"""Parts of the standard error, as values.csv names them."""
TWINS = 1e-12
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
    game: str = ""
    """content key of the game: utilities of the same game may be taken over, and of no other"""

    @property
    def table(self) -> Floats:
        """Primary utility, as corrected, of nobody, the plan's coalitions, everybody `(m + 2,)`."""
        told = self.utilities[self.primary]
        found = told if self.correction is None else self.correction.corrected
        return np.array([self.u_none, *found, self.u_all])

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
    resampled: Resampled | None = None,
) -> Estimate:
    """Values of the players from the utility `name`; they sum to U(all) − U(none).

    With a `correction` from the corrected utilities, its uncertainty in the standard errors; with
    `resampled` utilities of nobody, the plan's coalitions and everybody also that of a finite test
    set.
    """
    none, everybody = endpoints[name]
    measured = utilities[name] if correction is None else correction.corrected
    table = np.array([none, *measured, everybody])
    found = estimate(plan, table)
    if correction is not None:
        found = with_correction(correction, found)
    if resampled and found.operator is not None:
        found = with_test_noise(found, np.array(resampled))
    gap = abs(found.value.sum() - (everybody - none))
    if found.efficient and gap > 1e-6 * np.abs(table).max():
        raise UnshapleyError(f"values miss efficiency by {gap:.3g}: this is a defect of unshapley")
    return found


def with_test_noise(estimate: Estimate, resampled: Floats) -> Estimate:
    """An estimate with the error that other test rows would make.

    resampled: utilities on bootstrap samples of the test rows `(m + 2, samples)`; those on which
    the utility is not defined are left out.
    """
    assert estimate.operator is not None
    samples = resampled.shape[1]
    defined = np.flatnonzero(np.isfinite(resampled).all(axis=0))
    if len(defined) < 2:
        raise InputError(
            f"the utility is defined on {len(defined)} of {samples} bootstrap samples of the "
            "test rows: its error by them is not known",
            expected="at least 2",
            do="use more test rows, or a utility that needs less of them",
        )
    values = estimate.operator @ resampled[:, defined]
    error = np.atleast_2d(np.cov(values))
    return replace(estimate, errors={**estimate.errors, TEST_SET: error})


def values_table(valuation: Valuation) -> pd.DataFrame:
    """values.csv: `provider, rows, value, std_error, ci_low, ci_high, rank, status`, then the parts
    of the standard error: `sampling_error, test_error, correction_error`.

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
            **{f"{named}_error": estimate.error_of(part) for named, part in PARTS.items()},
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


def differences_table(valuation: Valuation) -> pd.DataFrame:
    """differences.csv: is one provider worth more than another? `provider, other, difference,
    std_error, ci_low, ci_high, probability`, a row a pair in provider order.

    probability: that the first is worth more, with normal errors; 0.5 where they are twins.
    """
    estimate, n = valuation.estimate, len(valuation.players)
    first, second = np.triu_indices(n, 1)
    direction = np.zeros((len(first), n))
    direction[np.arange(len(first)), first] = 1.0
    direction[np.arange(len(first)), second] = -1.0
    difference, half = direction @ estimate.value, estimate.half_width(direction)
    c = estimate.covariance
    error = np.sqrt(np.clip(c[first, first] + c[second, second] - 2 * c[first, second], 0, None))
    with np.errstate(divide="ignore", invalid="ignore"):
        # twins differ by rounding only
        twins = np.abs(difference) <= TWINS * np.abs(valuation.table).max()
        z = np.where(twins, 0.0, difference / error)
    return pd.DataFrame(
        {
            "provider": [valuation.players[i] for i in first],
            "other": [valuation.players[i] for i in second],
            "difference": difference,
            "std_error": error,
            "ci_low": difference - half,
            "ci_high": difference + half,
            "probability": stats.norm.cdf(z),
        }
    )


def interactions_table(valuation: Valuation) -> pd.DataFrame:
    """interactions.csv: pairwise Shapley interactions, `provider, other, interaction, std_error`,
    the most redundant pair first.
    """
    first, second = np.triu_indices(len(valuation.players), 1)
    found = interactions(valuation.plan, valuation.table)
    frame = pd.DataFrame(
        {
            "provider": [valuation.players[i] for i in first],
            "other": [valuation.players[i] for i in second],
            "interaction": found.value[first, second],
            "std_error": found.std_error[first, second],
        }
    )
    return frame.sort_values(["interaction", "provider", "other"], ignore_index=True)


def semivalues_table(valuation: Valuation) -> pd.DataFrame:
    """semivalues.csv: other ways to share out the same utilities, a column each: semivalues that
    the estimator can give, and the least core.
    """
    n, columns = len(valuation.players), {}
    for name, weights in SEMIVALUES.items():
        try:
            found = estimate(valuation.plan, valuation.table, weights(n))
        except InputError:  # an estimator of Shapley values only
            continue
        columns[name] = found.value
    columns["least_core"] = least_core(valuation.plan, valuation.table)
    return pd.DataFrame({"provider": valuation.players, **columns})


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
        "largest_std_error": _known(valuation.estimate.std_error.max()),
        "largest_test_error": None
        if (noise := valuation.estimate.error_of(TEST_SET)) is None
        else float(noise.max()),
        "largest_correction_error": None
        if (left := valuation.estimate.error_of(CORRECTION)) is None
        else float(left.max()),
        "coalitions": len(valuation.plan.coalitions),
        "providers_valued": len(valuation.players),
        "providers_quarantined": len(valuation.quarantined),
        "fidelity": valuation.fidelity.summary(),
    }


def _known(number: float) -> float | None:
    """None for NaN: not known."""
    return float(number) if np.isfinite(number) else None
