"""A table checked against its suite by Great Expectations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tasks.expectations.suites import FINGERPRINT, great_expectations
from tasks.expectations.views import Index, views
from unshapley.data.tables import Schema
from unshapley.errors import InputError


@dataclass(frozen=True)
class Findings:
    """What a suite said of one table: failed expectations as text, and the full results."""

    table: str
    kind: str
    rows: int
    critical: tuple[str, ...]
    warnings: tuple[str, ...]
    expectations: int
    results: list[dict[str, Any]]


def check_table(
    frame: pd.DataFrame,
    name: str,
    kind: str,
    suite: Mapping[str, Any],
    schema: Schema,
    index: Index,
) -> Findings:
    """Check one table. `index` holds the fingerprints of all tables, this one's under `name`."""
    results = [
        _kept(result)
        for view, table in views(frame, name, kind, schema, index).items()
        for result in run_suite(table, view, suite).to_json_dict()["results"]
    ]
    failed = [r for r in results if not r["success"]]
    # where the columns are wrong, what else fails follows from it
    columns = [r for r in failed if r["type"] == "expect_table_columns_to_match_set"]
    text = [(r["severity"], _explain(r)) for r in columns or failed]
    return Findings(
        name,
        kind,
        len(frame),
        tuple(t for severity, t in text if severity == "critical"),
        tuple(t for severity, t in text if severity != "critical"),
        len(results),
        results,
    )


def run_suite(table: pd.DataFrame, view: str, suite: Mapping[str, Any]) -> Any:
    """Great Expectations' result of the suite's expectations on one view of a table."""
    gx = great_expectations()
    # a context of its own: a shared one mixes up frames between threads, silently
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    batch = (
        context.data_sources.add_pandas(view)
        .add_dataframe_asset(view)
        .add_batch_definition_whole_dataframe(view)
        .get_batch(batch_parameters={"dataframe": table})
    )
    part = [e for e in suite["expectations"] if _meta(e).get("view", "rows") == view]
    where = {"cells": ["column", "row", "cell"]}.get(view)
    return batch.validate(
        gx.ExpectationSuite(name=view, expectations=[_expectation(e) for e in part]),
        result_format={
            "result_format": "SUMMARY",
            "partial_unexpected_count": 3,
            **({"unexpected_index_column_names": where} if where else {}),
        },
    )


def _meta(expectation: Mapping[str, Any]) -> dict[str, Any]:
    return expectation.get("meta") or {}


def _expectation(content: Mapping[str, Any]) -> Any:
    """An expectation from a suite's JSON; `InputError` for one that does not exist or fit."""
    from great_expectations.exceptions.exceptions import ExpectationNotFoundError
    from great_expectations.expectations.registry import get_expectation_impl

    try:
        implementation = get_expectation_impl(content["type"])
        kept = {k: content[k] for k in ("meta", "severity") if content.get(k)}
        return implementation(**content.get("kwargs", {}), **kept)
    except (ExpectationNotFoundError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"expectation {content.get('type')!r} cannot be built: {error}",
            where="data/expectations",
            do="correct the suite, or write it anew with `unshapley suites`",
        ) from None


def _kept(result: dict[str, Any]) -> dict[str, Any]:
    """A result without what differs from run to run (ids, times, tracebacks)."""
    config = result["expectation_config"]
    raised = [
        info["exception_message"]
        for info in _exceptions(result.get("exception_info") or {})
        if info.get("raised_exception")
    ]
    kwargs = {k: v for k, v in config["kwargs"].items() if k != "batch_id"}
    return {
        "type": config["type"],
        "kwargs": kwargs,
        "severity": config.get("severity") or "critical",
        "message": _meta(config).get("message") or config["type"],
        "success": bool(result["success"]),
        "result": result.get("result") or {},
        "raised": raised,
    }


def _exceptions(info: dict[str, Any]) -> list[dict[str, Any]]:
    return [info] if "raised_exception" in info else list(info.values())


def _explain(result: dict[str, Any]) -> str:
    """One line: what is wrong, how often, and where first."""
    message, found = result["message"], result["result"]
    if result["raised"]:
        return f"{message}: {result['raised'][0].splitlines()[0]}"
    if result["type"] == "expect_table_columns_to_match_set":
        odd = found.get("details", {}).get("mismatched", {})
        parts = [f"{w} {', '.join(odd[w][:5])}" for w in ("missing", "unexpected") if odd.get(w)]
        return f"{message}: {'; '.join(parts)}"
    if result["type"] == "expect_table_row_count_to_be_between":
        limits = [("at least", "min_value"), ("at most", "max_value")]
        kwargs = result["kwargs"]
        needed = " and ".join(f"{word} {kwargs[k]}" for word, k in limits if k in kwargs)
        return f"{message}: {found['observed_value']}, expected {needed}"
    count = f"{found.get('unexpected_count', '?')} of {found.get('element_count', '?')}"
    cells = found.get("partial_unexpected_index_list") or []
    if cells and isinstance(cells[0], dict):
        first = cells[0]
        return f"{message}: {count}, first {first['column']!r} row {first['row']}: {first['cell']}"
    values = [str(v) for v in found.get("partial_unexpected_list") or []]
    if result["kwargs"].get("column") == FINGERPRINT or not values:
        return f"{message}: {count}"
    rows = f", first in row {cells[0]}" if cells else ""
    return f"{message}: {count} ({', '.join(dict.fromkeys(values))}){rows}"
