"""Valuations and their reports made in memory, without a model and without a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tests.unshapley.recorded import MANIFEST
from unshapley.estimators import SAMPLING, Estimate
from unshapley.estimators.msr import MsrEstimator
from unshapley.fidelity.gate import check_fidelity
from unshapley.game.measuring import Measured, not_resampled
from unshapley.game.removals import LEAST, MOST
from unshapley.results.removal import RANDOM_MEAN
from unshapley.results.report.page import render_report
from unshapley.results.tables import (
    convergence_table,
    differences_table,
    fidelity_table,
    metrics,
    test_sources_table,
    values_table,
)
from unshapley.results.valuation import Valuation

PROVENANCE: dict[str, Any] = {
    **MANIFEST,
    "config": {**MANIFEST["config"], "prepare": {"task": None}},
    "numerics": {
        **MANIFEST["numerics"],
        "torch": "2.13.0",
        "processor": "x86-64",
        "vector": "AVX2",
    },
    "inputs": {"data/test.parquet": "0" * 64},
}


def valuation_of(
    values: Mapping[str, float],
    *,
    error: float = 0.01,
    quarantined: Mapping[str, str] | None = None,
) -> Valuation:
    """A game whose utility is the sum of the values of those who stay; providers are sorted."""
    players, n = tuple(sorted(values)), len(values)
    phi = np.array([values[p] for p in players])
    rng = np.random.default_rng(0)
    plan = MsrEstimator().plan(n, min(max(40, 4 * n), 2**n - 2), seed=0)
    coalitions = plan.coalitions
    history = phi + rng.normal(0, error, (12, n)) * np.linspace(3, 0, 12)[:, None]
    utilities = coalitions @ phi
    checked, ends = coalitions[:8], np.array([[False] * n, [True] * n])
    return Valuation(
        players=players,
        rows={p: 50 + i for i, p in enumerate([*players, *(quarantined or {})])},
        quarantined=quarantined or {},
        plan=plan,
        chunk_ids=tuple([0] * len(coalitions)),
        measured=Measured(coalitions, {"accuracy": list(utilities)}, not_resampled(coalitions)),
        endpoints=Measured(ends, {"accuracy": [0.0, float(phi.sum())]}, not_resampled(ends)),
        estimate=Estimate(
            phi, {SAMPLING: np.eye(n) * error**2}, history, np.linspace(5, 40, 12).astype(int)
        ),
        fidelity=check_fidelity(checked, utilities[:8] + 0.01, utilities[:8], float(phi.sum())),
        unit="share of the test rows",
    )


def report_of(valuation: Valuation, findings: Sequence[Mapping[str, Any]] = ()) -> str:
    """The page of a valuation; what takes seconds for many providers is made up or left out."""
    differences = differences_table(valuation)
    pairs = differences[:5000].rename(columns={"difference": "interaction"})
    tables = {
        "values.csv": values_table(valuation),
        "differences.csv": differences,
        "interactions.csv": pairs[["provider", "other", "interaction", "std_error"]],
        "test_sources.csv": test_sources_table(valuation),
        "plots/removal.csv": straight(valuation),
        "plots/convergence.csv": convergence_table(valuation),
        "plots/fidelity.csv": fidelity_table(valuation),
    }
    return render_report(valuation, tables, findings, PROVENANCE, metrics(valuation))


def straight(valuation: Valuation) -> pd.DataFrame:
    """plots/removal.csv, the same line for all orders."""
    n = len(valuation.players)
    line = {
        "step": range(n + 1),
        "provider": ["", *valuation.players],
        "utility": np.linspace(valuation.u_all, valuation.u_none, n + 1),
        "measured": 0.5,
    }
    return pd.concat([pd.DataFrame({"order": o, **line}) for o in (MOST, LEAST, RANDOM_MEAN)])
