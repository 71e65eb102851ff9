"""Check a table against its suite with Great Expectations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tasks.expectations.suites import FINGERPRINT, great_expectations
from tasks.expectations.views import VIEWS, Index, views
from unshapley.data.tables import Schema
from unshapley.errors import InputError


@dataclass(frozen=True)
class Findings:
    """Findings in one table: failed expectations as text, and the full results."""

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
    runner: SuiteRunner,
) -> Findings:
    """Check one table. `index` holds the fingerprints of all tables, this one's under `name`."""
    results = [
        _reproducible(result)
        for view, table in views(frame, name, kind, schema, index).items()
        for result in runner.run(table, view, suite).to_json_dict()["results"]
    ]
    failed = [r for r in results if not r["success"]]
    # if the columns are wrong, other failures are consequences
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


class SuiteRunner:
    """Runs suites in one context of Great Expectations.

    For one thread only: in a shared context, threads mix up their tables without an error.
    """

    def __init__(self) -> None:
        self.gx = great_expectations()
        context = self.gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        self.batches = {
            view: context.data_sources.add_pandas(view)
            .add_dataframe_asset(view)
            .add_batch_definition_whole_dataframe(view)
            for view in VIEWS
        }

    def run(self, table: pd.DataFrame, view: str, suite: Mapping[str, Any]) -> Any:
        """Great Expectations' result of the suite's expectations on one view of a table."""
        batch = self.batches[view].get_batch(batch_parameters={"dataframe": table})
        part = [e for e in suite["expectations"] if _meta(e).get("view", "rows") == view]
        index_columns = {"cells": ["column", "row", "cell"]}.get(view)
        return batch.validate(
            self.gx.ExpectationSuite(name=view, expectations=[_expectation(e) for e in part]),
            result_format={
                "result_format": "SUMMARY",
                "partial_unexpected_count": 3,
                **({"unexpected_index_column_names": index_columns} if index_columns else {}),
            },
        )


def _meta(expectation: Mapping[str, Any]) -> dict[str, Any]:
    return expectation.get("meta") or {}


def _expectation(content: Mapping[str, Any]) -> Any:
    """An expectation from a suite's JSON; `InputError` if it is unknown or has wrong arguments."""
    from great_expectations.exceptions.exceptions import ExpectationNotFoundError
    from great_expectations.expectations.registry import get_expectation_impl

    try:
        implementation = get_expectation_impl(content["type"])
        options = {k: content[k] for k in ("meta", "severity") if content.get(k)}
        return implementation(**content.get("kwargs", {}), **options)
    except (ExpectationNotFoundError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"expectation {content.get('type')!r} cannot be built: {error}",
            where="data/expectations",
            do="correct the suite, or write it anew with `unshapley suites`",
        ) from None


def _reproducible(result: dict[str, Any]) -> dict[str, Any]:
    """A result without entries that differ from run to run (ids, times, tracebacks)."""
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
    """One line of text: the problem, how often it occurs, and where it occurs first."""
    message, outcome = result["message"], result["result"]
    if result["raised"]:
        return f"{message}: {result['raised'][0].splitlines()[0]}"
    if result["type"] == "expect_table_columns_to_match_set":
        mismatched = outcome.get("details", {}).get("mismatched", {})
        kinds = [kind for kind in ("missing", "unexpected") if mismatched.get(kind)]
        parts = [f"{kind} {', '.join(mismatched[kind][:5])}" for kind in kinds]
        return f"{message}: {'; '.join(parts)}"
    if result["type"] == "expect_table_row_count_to_be_between":
        limits = [("at least", "min_value"), ("at most", "max_value")]
        kwargs = result["kwargs"]
        needed = " and ".join(f"{word} {kwargs[k]}" for word, k in limits if k in kwargs)
        return f"{message}: {outcome['observed_value']}, expected {needed}"
    count = f"{outcome.get('unexpected_count', '?')} of {outcome.get('element_count', '?')}"
    cells = outcome.get("partial_unexpected_index_list") or []
    if cells and isinstance(cells[0], dict):
        first = cells[0]
        return f"{message}: {count}, first {first['column']!r} row {first['row']}: {first['cell']}"
    values = [str(v) for v in outcome.get("partial_unexpected_list") or []]
    if result["kwargs"].get("column") == FINGERPRINT or not values:
        return f"{message}: {count}"
    rows = f", first in row {cells[0]}" if cells else ""
    return f"{message}: {count} ({', '.join(dict.fromkeys(values))}){rows}"
