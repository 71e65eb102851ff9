"""Build, write and read expectation suites.

Expectations of a suite are checked on summaries of the tables (tasks/expectations/summaries.py):
the view `tables` has a row for each table, the view `columns` one for each table and feature.
Those without a view are the user's own and are checked on the rows of each table. Suites are
JSON files in data/expectations; docs/validation.md shows how to change them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.expectations.building import COLUMNS, between, great_expectations, null
from tasks.expectations.text_suites import text_checks
from unshapley.config import ValidationSettings
from unshapley.data.tables import TEXT, Schema
from unshapley.data.windows import COLUMNS as COLUMNS_OF_TEXT
from unshapley.errors import InputError
from unshapley.files import read_json, write_json

KINDS = ("partition", "test", "reference")


def build_suite(kind: str, schema: Schema, params: ValidationSettings) -> Any:
    """The suite of a `partition`, the `test` or the `reference` set, as a GX ExpectationSuite."""
    gx = great_expectations()
    if schema.task == TEXT:
        return gx.ExpectationSuite(name=kind, expectations=text_checks(kind, params))
    label = (
        "label is unknown to the model"
        if schema.task == "classification"
        else "label is no finite number"
    )
    least = params.min_rows if kind == "partition" else 1
    checks = [
        null("missing_columns", COLUMNS),
        null("unexpected_columns", COLUMNS),
        between("tables", "rows", "too few rows", low=least),
        between("tables", "label_missing", "label is missing", high=0),
        between("tables", "label_unknown", label, high=0),
        between("columns", "text", "not a number", high=0),
        between("columns", "missing", "missing or infinite", high=0),
        between("columns", "infinite", "missing or infinite", high=0),
        *_range(params.feature_range),
        between("tables", "repeated_rows", "row stands there twice", high=0, severity="warning"),
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
        between("tables", f"rows_in_{other}", message, high=high),
        between("tables", f"chance_in_{other}", by_chance, high=0, severity="warning"),
    ]


def _range(limits: tuple[float, float] | None) -> list[Any]:
    """The expectations that features are inside the range of the parameters, if there is one."""
    if limits is None:
        return []
    low, high = limits
    message = f"outside the range {low:g} to {high:g}"
    return [
        between("columns", "minimum", message, low=low, high=high),
        between("columns", "maximum", message, low=low, high=high),
    ]


def written_with(params: ValidationSettings, schema: Schema) -> dict[str, Any]:
    """The parameters that suites depend on."""
    text = schema.task == TEXT
    keys = {"min_rows", *(("near_copies", "document_length") if text else ("feature_range",))}
    return params.model_dump(mode="json", include=keys)


def check_suites(folder: Path, params: ValidationSettings, schema: Schema) -> None:
    """Raise `InputError` if the suites on disk were written with other parameters, or for text in
    place of numbers.
    """
    for kind in KINDS:
        meta = load_suite(folder, kind).get("meta") or {}
        if ("document_length" in meta) != (schema.task == TEXT):
            raise InputError(
                "the suite is of numbers" if schema.task == TEXT else "the suite is of text",
                where=folder / f"{kind}.json",
                expected=f"one for prepare.task: {schema.task}",
                do="write the suites anew with `unshapley suites`",
            )
        for key, value in written_with(params, schema).items():
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
    if schema.task == TEXT:
        columns = {*COLUMNS_OF_TEXT}
    for kind in KINDS:
        for content in load_suite(folder, kind)["expectations"]:
            named = [content["kwargs"].get(key) for key in ("column", "column_A", "column_B")]
            unknown = [name for name in named if name is not None and name not in columns]
            if unknown and (content.get("meta") or {}).get("view", "rows") == "rows":
                raise InputError(
                    f"{content['type']} is of the column {unknown[0]!r}, which no table has",
                    where=folder / f"{kind}.json",
                    expected=f"one of {', '.join(COLUMNS_OF_TEXT)}"
                    if schema.task == TEXT
                    else f"the label {schema.label!r}, or a feature of data/schema.json",
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
        content["meta"] = written_with(params, schema)
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
