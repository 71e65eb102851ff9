"""Check tables against their suites with Great Expectations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from tasks.expectations.building import COLUMNS, great_expectations
from tasks.expectations.explaining import explain
from tasks.expectations.summaries import TableSummary, row_index, summarise
from tasks.expectations.text_explaining import examples_of, explain_text
from tasks.expectations.text_summaries import TextIndex, TextSummary, summarise_text
from unshapley.data.row_index import SETS, RowIndex
from unshapley.data.tables import TEXT, Schema
from unshapley.errors import InputError
from unshapley.progress import Progress, silent

VIEWS = {"tables": ["table"], "columns": ["table", "column"], "rows": []}
"""What expectations are checked on, and the columns by which a finding is placed there."""
Result = dict[str, Any]
"""An expectation's outcome in one table; `unexpected` holds the entries that broke it."""


@dataclass(frozen=True)
class Findings:
    """Findings in one table: failed expectations as text, and the full results.

    examples: of text, documents that stand elsewhere too, with a passage.
    """

    table: str
    kind: str
    rows: int
    critical: tuple[str, ...]
    warnings: tuple[str, ...]
    expectations: int
    results: list[Result]
    examples: tuple[dict[str, Any], ...] = ()


def kind_of(name: str) -> str:
    """The kind of suite that a table is checked with."""
    return name if name in SETS else "partition"


def check_tables(
    names: Sequence[str],
    read: Callable[[str], pd.DataFrame],
    suites: Mapping[str, Mapping[str, Any]],
    schema: Schema,
    progress: Progress = silent,
) -> list[Findings]:
    """Check all tables, those of a kind in one run of Great Expectations.

    read: gives a table by its name; one is in memory at a time. suites: by kind.
    """
    summaries, index = summarise_all(names, read, schema, suites, progress)
    runner = SuiteRunner()
    results: dict[str, list[Result]] = {}
    for kind, suite in suites.items():
        members = [n for n in names if kind_of(n) == kind]
        results |= _check_kind(members, suite, summaries, index, read, runner) if members else {}
    return [_findings(n, summaries[n], results[n], read, schema, index) for n in names]


def summarise_all(
    names: Sequence[str],
    read: Callable[[str], pd.DataFrame],
    schema: Schema,
    suites: Mapping[str, Mapping[str, Any]],
    progress: Progress = silent,
) -> tuple[Mapping[str, TableSummary], RowIndex]:
    """Summaries of all tables by name, and where their rows stand."""
    if schema.task == TEXT:
        return _summarise_texts(names, read, schema, suites, progress)
    summaries = {}
    with progress(len(names)) as advance:
        for name in names:
            summaries[name] = summarise(read(name), name, schema)
            advance(1)
    return summaries, row_index(summaries)


def _summarise_texts(
    names: Sequence[str],
    read: Callable[[str], pd.DataFrame],
    schema: Schema,
    suites: Mapping[str, Mapping[str, Any]],
    progress: Progress,
) -> tuple[dict[str, TextSummary], TextIndex]:
    """The same of text; from which similarity documents are near-copies, the suites' meta says."""
    threshold = (suites["partition"].get("meta") or {}).get("near_copies")
    summaries = {}
    with progress(len(names)) as advance:
        for name in names:
            near = threshold is not None
            summaries[name] = summarise_text(read(name), name, schema, near=near)
            advance(1)
    return summaries, TextIndex(summaries, threshold)


def views_of(
    members: Sequence[str], summaries: Mapping[str, TableSummary], index: RowIndex
) -> dict[str, pd.DataFrame]:
    """The views `tables` and `columns` of tables of one kind, by name."""
    return {
        "tables": pd.DataFrame([{**summaries[n].facts, **index.facts(n)} for n in members]),
        "columns": pd.concat([summaries[n].columns for n in members], ignore_index=True),
    }


def _check_kind(
    members: Sequence[str],
    suite: Mapping[str, Any],
    summaries: Mapping[str, TableSummary],
    index: RowIndex,
    read: Callable[[str], pd.DataFrame],
    runner: SuiteRunner,
) -> dict[str, list[Result]]:
    """Results of each table in the order of the suite; Great Expectations has its own."""
    order = {message_of(e): i for i, e in reversed([*enumerate(suite["expectations"])])}
    out: dict[str, list[Result]] = {n: [] for n in members}
    for view, table in views_of(members, summaries, index).items():
        for result in runner.results(table, view, suite):
            for name, part in _by_table(result, members).items():
                out[name].append(part)
    if expectations_of(suite, "rows"):
        for name in members:
            out[name] += runner.results(read(name), "rows", suite)
    return {n: sorted(r, key=lambda result: order[result["message"]]) for n, r in out.items()}


def _by_table(result: Result, members: Sequence[str]) -> dict[str, Result]:
    """A result of all tables, split into what it says of each; one that names none is of all."""
    unexpected = result["unexpected"]
    if result["success"] or not unexpected or not isinstance(unexpected[0], dict):
        return dict.fromkeys(members, result)
    entries: dict[str, list[Any]] = {n: [] for n in members}
    for entry in unexpected:
        entries[entry["table"]].append(entry)
    return {n: {**result, "success": not e, "unexpected": e} for n, e in entries.items()}


def _findings(
    name: str,
    summary: TableSummary,
    results: list[Result],
    read: Callable[[str], pd.DataFrame],
    schema: Schema,
    index: RowIndex,
) -> Findings:
    failed = [r for r in results if not r["success"]]
    # if the columns are wrong, other failures are consequences
    failed = [r for r in failed if r["message"] == COLUMNS] or failed
    text: list[tuple[str, str]] = []
    examples: list[dict[str, Any]] = []
    if failed and isinstance(index, TextIndex):
        text = explain_text(failed, name, read, schema, index)
        examples = examples_of(failed, name, read, index)
    elif failed:
        text = explain(failed, name, partial(read, name), schema, index)
    return Findings(
        name,
        kind_of(name),
        len(summary.prints),
        tuple(t for severity, t in text if severity == "critical"),
        tuple(t for severity, t in text if severity != "critical"),
        len(results),
        results,
        tuple(examples),
    )


def expectations_of(suite: Mapping[str, Any], view: str) -> list[Mapping[str, Any]]:
    """The expectations that are checked on a view; `InputError` for a view that there is not."""
    for content in suite["expectations"]:
        if _view(content) not in VIEWS:
            raise InputError(
                f"expectation {content.get('type')!r} is of the view {_view(content)!r}",
                where="data/expectations",
                expected=f"meta.view {', '.join(map(repr, VIEWS))}",
                do="correct the suite, or write it anew with `unshapley suites`",
            )
    return [e for e in suite["expectations"] if _view(e) == view]


def message_of(content: Mapping[str, Any]) -> str:
    """What a finding of an expectation says first."""
    return str((content.get("meta") or {}).get("message") or content["type"])


def _view(content: Mapping[str, Any]) -> str:
    return str((content.get("meta") or {}).get("view", "rows"))


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
        """Great Expectations' result of the suite's expectations on one view."""
        batch = self.batches[view].get_batch(batch_parameters={"dataframe": table})
        part = [_expectation(e) for e in expectations_of(suite, view)]
        return batch.validate(
            self.gx.ExpectationSuite(name=view, expectations=part),
            result_format=(
                {"result_format": "COMPLETE", "unexpected_index_column_names": VIEWS[view]}
                if VIEWS[view]
                else {"result_format": "SUMMARY", "partial_unexpected_count": 3}
            ),
        )

    def results(self, table: pd.DataFrame, view: str, suite: Mapping[str, Any]) -> list[Result]:
        """The outcomes of the suite's expectations on one view, the same in every run."""
        if not expectations_of(suite, view):
            return []
        ran = self.run(table, view, suite).to_json_dict()
        return [_reproducible(result, view) for result in ran["results"]]


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


def _reproducible(result: dict[str, Any], view: str) -> Result:
    """A result without entries that differ from run to run (ids, times, tracebacks)."""
    config, outcome = result["expectation_config"], result.get("result") or {}
    raised = [
        info["exception_message"]
        for info in _exceptions(result.get("exception_info") or {})
        if info.get("raised_exception")
    ]
    placed = VIEWS[view] and outcome.get("unexpected_index_list")
    return {
        "type": config["type"],
        "view": view,
        "kwargs": {k: v for k, v in config["kwargs"].items() if k != "batch_id"},
        "severity": config.get("severity") or "critical",
        "message": message_of(config),
        "success": bool(result["success"]),
        "unexpected": placed or outcome.get("partial_unexpected_list") or [],
        "observed": {
            key: outcome[key]
            for key in ("observed_value", "unexpected_count", "element_count", "details")
            if view == "rows" and key in outcome
        },
        "raised": raised,
    }


def _exceptions(info: dict[str, Any]) -> list[dict[str, Any]]:
    return [info] if "raised_exception" in info else list(info.values())
