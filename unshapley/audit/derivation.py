"""Derive the tables of a valuation again from its stored utilities, and compare them.

What depends on bootstrap samples of the test rows, or on draws of a correction, is not stored:
those errors are compared where the audit has measured what they need.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from unshapley.audit.recorded import RecordedValuation
from unshapley.audit.verdict import (
    UNEXAMINED,
    Check,
    compare_entries,
    compare_numbers,
)
from unshapley.errors import InputError
from unshapley.estimators import CORRECTION, TEST_SET, Estimate, estimate
from unshapley.estimators.base import NORMAL, Floats
from unshapley.fidelity.correction import Correction
from unshapley.fidelity.gate import Fidelity, check_fidelity, nothing_compared
from unshapley.files import read_json
from unshapley.game.coalitions import everybody, from_bits, nobody, positions
from unshapley.game.rounding import DERIVED
from unshapley.game.utilities import build_utilities
from unshapley.models.store import ModelRecord
from unshapley.results.tables import all_tables, metrics
from unshapley.results.valuation import Valuation

MOVED = 10.0
"""How much further an error may be, which depends on utilities, than one of them."""
ADDED = 1e-13
"""Relative difference that the order of a few additions makes: it counts as none."""
ERRORS = {"test_error": TEST_SET, "correction_error": CORRECTION}
"""Columns of values.csv that stored utilities do not give, by the source of the error."""
PAIRWISE = ("std_error", "ci_low", "ci_high", "probability")
"""Columns of differences.csv that need the covariance of all errors."""
FIGURES = ("rmse", "rmse_no_unlearning", "spearman", "explained")
"""Figures of the fidelity check that plots/fidelity.csv gives."""


def derive(recorded: RecordedValuation, errors: Mapping[str, Floats] | None = None) -> Valuation:
    """The valuation from its stored utilities, with no more errors than `errors` gives.

    errors: covariance `(n, n)` by source, of those that the audit has measured again. Raises
    `InputError` for utilities that are no numbers, or for coalitions that the estimator refuses.
    """
    found = estimate(recorded.plan, recorded.table)
    found = replace(found, errors={**found.errors, **(errors or {})})
    corrected = recorded.corrected
    correction = None
    if corrected is not None:
        correction = Correction(corrected, corrected[None], np.array([]))
    record = ModelRecord.load(recorded.project.model)
    manifest = recorded.manifest
    return Valuation(
        players=recorded.players,
        rows={**record.rows, **_quarantined_rows(recorded)},
        quarantined=manifest["quarantined"],
        plan=recorded.plan,
        chunk_ids=tuple(int(chunk) for chunk in recorded.chunks),
        measured=recorded.measured,
        endpoints=recorded.endpoints,
        estimate=found,
        fidelity=_fidelity(recorded),
        correction=correction,
        unlearner=tuple(manifest["unlearner"]),
        game=manifest["game"],
        unit=build_utilities(recorded.params.valuation.utilities)[0].unit,
        training=record.convergence,
        origin=record.imported,
        test_sources=record.test_sources,
    )


def check_tables(
    recorded: RecordedValuation,
    derived: Valuation,
    measured: float = 0.0,
    *,
    same_machine: bool = False,
) -> list[Check]:
    """Every published table and figure against what the stored utilities give.

    measured: tolerance of a utility that was measured again, where errors depend on such;
    same_machine: whether numbers must have the same bits, where they do not.
    """
    tables, known = all_tables(derived), derived.estimate.errors
    scale = float(np.abs(recorded.table).max())
    limit = 0.0 if same_machine else DERIVED * max(scale, 1.0)
    limits = dict.fromkeys((*ERRORS, *PAIRWISE), limit + MOVED * measured)
    checks = [*_values(recorded, tables.pop("values.csv"), derived.estimate, limit, limits)]
    for name, table in tables.items():
        if name not in recorded.manifest["outputs"]:  # of a version that did not write it yet
            continue
        left = () if name != "differences.csv" or _all_errors(recorded, known) else PAIRWISE
        checks += _table(name, recorded.csv(name), table, limit, limits, left)
    checks += _figures(recorded, metrics(derived), limit)
    return checks


def _values(
    recorded: RecordedValuation,
    table: pd.DataFrame,
    found: Estimate,
    limit: float,
    limits: Mapping[str, float],
) -> Iterator[Check]:
    """values.csv: what is derived, what the audit did not measure, and how the parts add up."""
    written = recorded.csv("values.csv")
    left = [column for column, part in ERRORS.items() if part not in found.errors]
    sums = _sums(written, found.quantile)
    yield from _table("values.csv", written, table, limit, limits, [*left, *sums])
    for column, numbers in sums.items():
        what, there = f"values.csv: {column}, from its parts", written[column].to_numpy(dtype=float)
        same = np.isclose(there, numbers, rtol=ADDED, atol=0, equal_nan=True)
        a, names = np.where(same, there, numbers), list(written["provider"])
        yield compare_numbers("aggregate", what, there, a, limit, names)
    for column in left:
        if written[column].notna().any():
            yield Check("aggregate", f"values.csv: {column}", UNEXAMINED, len(written))


def _sums(written: pd.DataFrame, quantile: float) -> dict[str, Floats]:
    """Columns of values.csv that follow from its parts: total error and interval."""
    part = {
        p: written[f"{p}_error"].to_numpy(dtype=float) for p in ("sampling", "test", "correction")
    }
    sampling, others = (
        part["sampling"] ** 2,
        sum(np.nan_to_num(part[p]) ** 2 for p in ("test", "correction")),
    )
    half, value = (
        np.sqrt(quantile**2 * sampling + NORMAL**2 * others),
        written["value"].to_numpy(dtype=float),
    )
    return {
        "std_error": np.sqrt(sampling + others),
        "ci_low": value - half,
        "ci_high": value + half,
    }


def _table(
    name: str,
    written: pd.DataFrame,
    found: pd.DataFrame,
    limit: float,
    limits: Mapping[str, float],
    left: Sequence[str] = (),
) -> Iterator[Check]:
    """A CSV column by column; limit: tolerance of a column that `limits` does not name; left:
    columns that are not compared.
    """
    yield compare_entries(
        "publish",
        f"{name}: columns",
        list(written.columns),
        list(found.columns),
        list(found.columns),
    )
    rows = [str(name) for name in written.iloc[:, 0]] if len(written.columns) else []
    if "other" in written:
        rows = [f"{a}, {b}" for a, b in zip(rows, written["other"], strict=True)]
    for column in found.columns:
        if column in left or column not in written:
            continue
        what = f"{name}: {column}"
        if found[column].dtype == object or str(found[column].dtype) in ("str", "string"):
            yield compare_entries("publish", what, list(written[column]), list(found[column]), rows)
            continue
        a, b = (frame[column].to_numpy(dtype=float, na_value=np.nan) for frame in (written, found))
        yield compare_numbers("aggregate", what, a, b, limits.get(column, limit), rows)


def _figures(
    recorded: RecordedValuation, found: Mapping[str, Any], limit: float
) -> Iterator[Check]:
    """metrics.json, against what is derived, values.csv, and the manifest."""
    path = recorded.project.valuation / "metrics.json"
    written = read_json(path, do="restore it with `git checkout`")
    values, manifest = recorded.csv("values.csv"), recorded.manifest
    expected = {
        **{name: found[name] for name in ("u_all", "u_none", "sum_of_values")},
        "gradient_over_noise": found["gradient_over_noise"],
        "largest_std_error": _largest(values["std_error"]),
        "largest_test_error": _largest(values["test_error"]),
        "largest_correction_error": _largest(values["correction_error"]),
    }
    numbers = [
        [float("nan") if v is None else float(v) for v in (written[n], e)]
        for n, e in expected.items()
    ]
    a, b = (list(column) for column in zip(*numbers, strict=True))
    yield compare_numbers("publish", "metrics.json", a, b, limit, list(expected))
    same = ("utility", "coalitions", "providers_valued", "providers_quarantined")
    stated = {name: found[name] for name in same}
    stated |= {"calibration": manifest["calibration"], "fidelity": manifest["fidelity"]}
    yield compare_entries(
        "publish",
        "metrics.json, against manifest and utilities",
        [written[name] for name in stated],
        list(stated.values()),
        list(stated),
    )
    checked = found["fidelity"]
    a, b = (
        [np.nan if f[n] is None else f[n] for n in FIGURES] for f in (written["fidelity"], checked)
    )
    yield compare_numbers("publish", "figures of the fidelity check", a, b, limit, FIGURES)


def _fidelity(recorded: RecordedValuation) -> Fidelity:
    """The check by the coalitions that plots/fidelity.csv holds."""
    table, n = recorded.csv("plots/fidelity.csv"), len(recorded.players)
    full = float(recorded.endpoints.primary_utilities[1])
    if not len(table):
        return nothing_compared(n, full, recorded.manifest["fidelity"]["reason"])
    coalitions = from_bits([str(bits) for bits in table["coalition"]])
    if coalitions.shape[1:] != (n,):
        where = recorded.project.valuation / "plots" / "fidelity.csv"
        raise InputError("its coalitions are of another game", where=where)
    unlearned = table["unlearned"].tolist()
    if not recorded.params.correction.coalitions:  # else each is held against what others predict
        among = np.vstack([nobody(n), recorded.coalitions, everybody(n)])
        rows = positions(coalitions, among)
        unlearned = np.where(rows < 0, np.nan, recorded.table[rows]).tolist()
    return check_fidelity(coalitions, table["retrained"].tolist(), unlearned, full)


def _quarantined_rows(recorded: RecordedValuation) -> dict[str, int]:
    path = recorded.project.valuation / "validation.json"
    reports = read_json(path, do="restore it with `dvc checkout`")
    return {
        r["table"]: r["rows"] for r in reports if r["table"] in recorded.manifest["quarantined"]
    }


def _all_errors(recorded: RecordedValuation, known: Mapping[str, Floats]) -> bool:
    """Whether every source of error of the recorded values is known here."""
    values = recorded.csv("values.csv")
    return all(part in known for column, part in ERRORS.items() if values[column].notna().any())


def _largest(column: pd.Series[Any]) -> float | None:
    return None if column.isna().all() else float(column.max())
