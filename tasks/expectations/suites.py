"""Build, write and read expectation suites.

Expectations of a suite are checked on summaries of the tables (tasks/expectations/summaries.py):
the view `tables` has a row for each table, the view `columns` one for each table and feature.
Those without a view are the user's own and are checked on the rows of each table. Suites are
JSON files in data/expectations; docs/validation.md shows how to change them.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Any

from unshapley.config import ValidationSettings
from unshapley.data.tables import Schema
from unshapley.errors import InputError
from unshapley.files import read_json, write_json

COLUMNS = "columns are not those of the schema"
KINDS = ("partition", "test", "reference")
_IMPORT = threading.Lock()


def great_expectations() -> Any:
    """The package, imported only when needed (it takes seconds), quiet and without analytics."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with _IMPORT:
        import great_expectations
        import great_expectations.expectations
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    return great_expectations


def build_suite(kind: str, schema: Schema, params: ValidationSettings) -> Any:
    """The suite of a `partition`, the `test` or the `reference` set, as a GX ExpectationSuite."""
    gx = great_expectations()
    label = (
        "label is unknown to the model"
        if schema.task == "classification"
        else "label is no finite number"
    )
    least = params.min_rows if kind == "partition" else 1
    checks = [
        _null("missing_columns", COLUMNS),
        _null("unexpected_columns", COLUMNS),
        _between("tables", "rows", "too few rows", low=least),
        _between("tables", "label_missing", "label is missing", high=0),
        _between("tables", "label_unknown", label, high=0),
        _between("columns", "text", "not a number", high=0),
        _between("columns", "missing", "missing or infinite", high=0),
        _between("columns", "infinite", "missing or infinite", high=0),
        *_range(params.feature_range),
        _between("tables", "repeated_rows", "row stands there twice", high=0, severity="warning"),
    ]
    if kind != "reference":
        checks += _elsewhere("reference", "row also stands in the reference set")
    if kind == "partition":
        checks += _elsewhere("test", "training row also stands in the test set")
        also = "rows also stand in another provider's partition"
        checks += _elsewhere("partitions", also, high=0.05)
    return gx.ExpectationSuite(name=kind, expectations=checks)


def _elsewhere(other: str, message: str, high: float = 0) -> list[Any]:
    """The expectations that a table's rows do not stand in another one too: at most the share
    `high` of them where they are more than chance explains; else it is a warning.
    """
    by_chance = f"{message}, no more than by chance"
    return [
        _between("tables", f"rows_in_{other}", message, high=high),
        _between("tables", f"chance_in_{other}", by_chance, high=0, severity="warning"),
    ]


def _null(column: str, message: str) -> Any:
    """The expectation that a column of the view `tables` is empty."""
    return great_expectations().expectations.ExpectColumnValuesToBeNull(
        column=column, meta={"view": "tables", "message": message}
    )


def _between(
    view: str,
    column: str,
    message: str,
    *,
    low: float | None = None,
    high: float | None = None,
    severity: str = "critical",
) -> Any:
    """The expectation that the numbers in a column of a view are from `low` to `high`."""
    return great_expectations().expectations.ExpectColumnValuesToBeBetween(
        column=column,
        **({} if low is None else {"min_value": low}),
        **({} if high is None else {"max_value": high}),
        severity=severity,
        meta={"view": view, "message": message},
    )


def _range(limits: tuple[float, float] | None) -> list[Any]:
    """The expectations that features are inside the range of the parameters, if there is one."""
    if limits is None:
        return []
    low, high = limits
    message = f"outside the range {low:g} to {high:g}"
    return [
        _between("columns", "minimum", message, low=low, high=high),
        _between("columns", "maximum", message, low=low, high=high),
    ]


def written_with(params: ValidationSettings) -> dict[str, Any]:
    """The parameters that suites depend on."""
    return params.model_dump(mode="json", include={"min_rows", "feature_range"})


def check_suites(folder: Path, params: ValidationSettings) -> None:
    """Raise `InputError` if the suites on disk were written with other parameters."""
    for kind in KINDS:
        meta = load_suite(folder, kind).get("meta") or {}
        for key, value in written_with(params).items():
            if meta.get(key) != value:
                raise InputError(
                    f"the suite was written with validation.{key} = {meta.get(key)!r}",
                    where=folder / f"{kind}.json",
                    expected=f"{value!r}, as params.yaml says",
                    do="write the suites anew with `unshapley suites`, or restore params.yaml",
                )


def check_columns(folder: Path, schema: Schema) -> None:
    """Raise `InputError` if an expectation of the user's own is of a column that no table has."""
    columns = {*schema.features, schema.label}
    for kind in KINDS:
        for content in load_suite(folder, kind)["expectations"]:
            named = [content["kwargs"].get(key) for key in ("column", "column_A", "column_B")]
            unknown = [name for name in named if name is not None and name not in columns]
            if unknown and (content.get("meta") or {}).get("view", "rows") == "rows":
                raise InputError(
                    f"{content['type']} is of the column {unknown[0]!r}, which no table has",
                    where=folder / f"{kind}.json",
                    expected=f"the label {schema.label!r}, or a feature of data/schema.json",
                    do="correct it, or write the suites anew with `unshapley suites`",
                )


def save_suites(folder: Path, schema: Schema, params: ValidationSettings) -> list[Path]:
    """Write the three suites as JSON; return their paths."""
    paths = []
    for kind in KINDS:
        content = build_suite(kind, schema, params).to_json_dict()
        for expectation in content["expectations"]:
            expectation.pop("id", None)
        paths.append(folder / f"{kind}.json")
        # without the version of Great Expectations, which constraints.txt pins
        content["meta"] = written_with(params)
        write_json(paths[-1], {k: content[k] for k in ("name", "expectations", "meta")})
    return paths


def load_suite(folder: Path, kind: str) -> dict[str, Any]:
    """A suite as JSON, for `check_tables`."""
    path = folder / f"{kind}.json"
    content = read_json(path, do="write the suites with `unshapley suites`")
    if not isinstance(content, dict) or "expectations" not in content:
        raise InputError(
            "not an expectation suite", where=path, do="write the suites with `unshapley suites`"
        )
    return content
