"""The tables of a published valuation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from unshapley.errors import InputError
from unshapley.estimators import CORRECTION, SAMPLING, TEST_SET, Estimate, estimate
from unshapley.estimators.base import Floats
from unshapley.estimators.interactions import interactions
from unshapley.estimators.least_core import least_core
from unshapley.estimators.semivalues import SEMIVALUES
from unshapley.fidelity.order import order_of_pairs
from unshapley.game.coalitions import to_bits
from unshapley.game.test_sources import source_column
from unshapley.results.published import TEST_SOURCES
from unshapley.results.removal import removal_table
from unshapley.results.valuation import Valuation, calibration_summary, utility_table

PARTS = {"sampling": SAMPLING, "test": TEST_SET, "correction": CORRECTION}
"""Parts of the standard error, by their name in values.csv."""
TIED = 1e-12
"""Differences of values up to this share of the largest utility count as rounding errors."""
ENDPOINT = -1
"""Entry in column `chunk` for the empty and the full coalition, which belong to no chunk."""


def all_tables(valuation: Valuation) -> dict[str, pd.DataFrame]:
    """The tables that are published as CSV, by file."""
    return {
        "values.csv": values_table(valuation),
        "differences.csv": differences_table(valuation),
        "interactions.csv": interactions_table(valuation),
        "semivalues.csv": semivalues_table(valuation),
        TEST_SOURCES: test_sources_table(valuation),
        "plots/removal.csv": removal_table(valuation),
        "plots/convergence.csv": convergence_table(valuation),
        "plots/fidelity.csv": fidelity_table(valuation),
    }


def values_table(valuation: Valuation) -> pd.DataFrame:
    """values.csv: `provider, rows, value, std_error, ci_low, ci_high, rank, status`, then the parts
    of the standard error: `sampling_error, test_error, correction_error`.

    In provider order; rank 1 is the largest value; quarantined providers have no value.
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
            **{f"{column}_error": _error(estimate, part) for column, part in PARTS.items()},
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


def _error(estimate: Estimate, part: str) -> Floats:
    """A part of the standard error of every player `(n,)`, NaN where it does not apply."""
    error = estimate.error_of(part)
    return np.full(len(estimate.value), np.nan) if error is None else error


def utilities_table(valuation: Valuation) -> pd.DataFrame:
    """utilities.parquet: `coalition` (bits in provider order), `chunk`, one column for each
    utility, and the corrected primary utility if there is a correction.
    """
    measured, endpoints = valuation.measured, valuation.endpoints
    frame = pd.DataFrame(
        {
            "coalition": to_bits(endpoints.coalitions) + to_bits(measured.coalitions),
            "chunk": [ENDPOINT, ENDPOINT, *valuation.chunk_ids],
        }
    )
    for name, values in measured.utilities.items():
        frame[name] = [*endpoints.utilities[name], *values]
    if valuation.correction is not None:
        ends = valuation.u_none, valuation.u_all
        frame[f"{valuation.primary}_corrected"] = [*ends, *valuation.correction.corrected]
    return frame


def convergence_table(valuation: Valuation) -> pd.DataFrame:
    """plots/convergence.csv: estimate of each provider by the number of measured coalitions."""
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
    std_error, ci_low, ci_high, probability`, one row for each pair, in provider order.

    probability: that the first is worth more, for normal errors; 0.5 if both values are equal.
    """
    estimate, n = valuation.estimate, len(valuation.players)
    first, second = np.triu_indices(n, 1)
    difference = estimate.value[first] - estimate.value[second]
    half = estimate.half_width_of_difference(first, second)
    c = estimate.covariance
    error = np.sqrt(np.clip(c[first, first] + c[second, second] - 2 * c[first, second], 0, None))
    with np.errstate(divide="ignore", invalid="ignore"):
        tied = np.abs(difference) <= TIED * np.abs(valuation.table).max()
        z = np.where(tied, 0.0, difference / error)
    return pd.DataFrame(
        {
            "provider": [valuation.players[i] for i in first],
            "other": [valuation.players[i] for i in second],
            "difference": difference,
            "std_error": error,
            "ci_low": difference - half,
            "ci_high": difference + half,
            "probability": special.ndtr(z),
        }
    )


def interactions_table(valuation: Valuation) -> pd.DataFrame:
    """interactions.csv: pairwise Shapley interactions, `provider, other, interaction, std_error`,
    the most redundant pair first; of very many pairs only the most redundant and the most
    complementary ones (`unshapley.estimators.interactions.LISTED`).
    """
    estimates = interactions(valuation.plan, valuation.table)
    first, second = np.nonzero(np.triu(np.isfinite(estimates.std_error), 1))
    frame = pd.DataFrame(
        {
            "provider": [valuation.players[i] for i in first],
            "other": [valuation.players[i] for i in second],
            "interaction": estimates.value[first, second],
            "std_error": estimates.std_error[first, second],
        }
    )
    return frame.sort_values(["interaction", "provider", "other"], ignore_index=True)


def semivalues_table(valuation: Valuation) -> pd.DataFrame:
    """semivalues.csv: a column for each semivalue that the estimator knows, and the least core."""
    n, columns = len(valuation.players), {}
    for name, weights in SEMIVALUES.items():
        try:
            estimates = estimate(valuation.plan, valuation.table, weights(n))
        except InputError:  # this estimator can compute Shapley values only
            continue
        columns[name] = estimates.value
    columns["least_core"] = least_core(valuation.plan, valuation.table)
    return pd.DataFrame({"provider": valuation.players, **columns})


def test_sources_table(valuation: Valuation) -> pd.DataFrame:
    """test_sources.csv: `provider, source, rows, value`: the value of each provider on the test
    rows of each source alone, as measured (no correction). Their mean, weighted by rows, is the
    value of a provider where the utility is a mean of the test rows.

    Empty where the test rows are the user's own, or of one provider or very many.
    """
    sources = {
        source: rows
        for source, rows in valuation.test_sources.items()
        if source_column(valuation.primary, source) in valuation.measured.utilities
    }
    value = {source: _values_on(valuation, source) for source in sources}
    return pd.DataFrame(
        [
            (provider, source, rows, float(value[source][i]))
            for i, provider in enumerate(valuation.players)
            for source, rows in sources.items()
        ],
        columns=["provider", "source", "rows", "value"],
    )


def _values_on(valuation: Valuation, source: str) -> Floats:
    """Values `(n,)` for the primary utility on the test rows of one source."""
    measured, endpoints = valuation.measured, valuation.endpoints
    table = utility_table(measured, endpoints, source_column(valuation.primary, source))
    operator = valuation.estimate.operator
    return estimate(valuation.plan, table).value if operator is None else operator @ table


def fidelity_table(valuation: Valuation) -> pd.DataFrame:
    """plots/fidelity.csv: retrained and unlearned utility of every checked coalition."""
    fidelity = valuation.fidelity
    return pd.DataFrame(
        {
            "coalition": to_bits(fidelity.coalitions),
            "size": fidelity.coalitions.sum(axis=1),
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
        if (test_error := valuation.estimate.error_of(TEST_SET)) is None
        else float(test_error.max()),
        "undefined_samples": valuation.undefined_samples,
        "largest_correction_error": None
        if (correction_error := valuation.estimate.error_of(CORRECTION)) is None
        else float(correction_error.max()),
        "gradient_over_noise": None
        if valuation.training is None
        else _known(valuation.training.ratio),
        "coalitions": len(valuation.plan.coalitions),
        "providers_valued": len(valuation.players),
        "providers_quarantined": len(valuation.quarantined),
        "providers_judging": len(set(valuation.players) & set(valuation.test_sources)),
        "calibration": calibration_summary(valuation),
        "fidelity": {**valuation.fidelity.summary(), **_order(valuation)},
    }


def _order(valuation: Valuation) -> dict[str, Any]:
    """How sure the order of each pair is, where nothing was retrained and it is known elsewhere."""
    if valuation.fidelity.status != "unchecked" or not valuation.unlearner:
        return {}
    name, options = valuation.unlearner
    method = options.get("method", name) if isinstance(options, Mapping) else name
    pairs = order_of_pairs(valuation.players, valuation.estimate.value, method)
    return {} if pairs is None else {"order": [asdict(pair) for pair in pairs]}


def _known(number: float) -> float | None:
    """The number; None for NaN, which means unknown."""
    return float(number) if np.isfinite(number) else None
