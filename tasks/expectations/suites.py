"""Build, write and read expectation suites.

A table is checked in two views. `rows` is the table itself, with the fingerprint of each row and
the other tables that contain the row too. `cells` is the long form of the features, with one row
for each cell; so a suite needs few expectations for any number of features, and a finding names
the cell. Suites are JSON files in data/expectations; docs/validation.md shows how to change them.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unshapley.config import ValidationSettings
from unshapley.data.tables import Schema
from unshapley.errors import InputError
from unshapley.files import read_json, write_json

FINGERPRINT, ALSO_IN, IN_TEST, IN_REFERENCE = (
    "__fingerprint",
    "__also_in",
    "__in_test",
    "__in_reference",
)
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
    gxe = gx.expectations
    derived = [FINGERPRINT, ALSO_IN, IN_TEST, IN_REFERENCE]

    def meta(view: str, message: str) -> dict[str, str]:
        return {"view": view, "message": message}

    low, high = params.feature_range or (None, None)
    checks = [
        gxe.ExpectTableColumnsToMatchSet(
            column_set=[*schema.features, schema.label, *derived],
            exact_match=True,
            meta=meta("rows", "columns are not those of the schema"),
        ),
        gxe.ExpectTableRowCountToBeBetween(
            min_value=params.min_rows if kind == "partition" else 1,
            meta=meta("rows", "too few rows"),
        ),
        gxe.ExpectColumnValuesToNotBeNull(
            column=schema.label, meta=meta("rows", "label is missing")
        ),
        _label_check(gxe, schema, meta),
        gxe.ExpectColumnValuesToNotBeInSet(
            column="kind", value_set=["text"], meta=meta("cells", "not a number")
        ),
        gxe.ExpectColumnValuesToNotBeInSet(
            column="kind",
            value_set=["missing", "infinite"],
            meta=meta("cells", "missing or infinite"),
        ),
        gxe.ExpectColumnValuesToBeUnique(
            column=FINGERPRINT, severity="warning", meta=meta("rows", "row stands there twice")
        ),
        gxe.ExpectColumnValuesToBeNull(
            column=IN_REFERENCE, meta=meta("rows", "row also stands in the reference set")
        ),
    ]
    if low is not None:
        checks.append(
            gxe.ExpectColumnValuesToBeBetween(
                column="value",
                min_value=low,
                max_value=high,
                meta=meta("cells", f"outside the range {low:g} to {high:g}"),
            )
        )
    if kind == "partition":
        checks += [
            gxe.ExpectColumnValuesToBeNull(
                column=IN_TEST, meta=meta("rows", "training row also stands in the test set")
            ),
            gxe.ExpectColumnValuesToBeNull(
                column=ALSO_IN,
                mostly=0.95,
                meta=meta("rows", "rows also stand in another provider's partition"),
            ),
        ]
    if kind == "reference":
        checks = [c for c in checks if getattr(c, "column", "") != IN_REFERENCE]
    return gx.ExpectationSuite(name=kind, expectations=checks)


def _label_check(gxe: Any, schema: Schema, meta: Callable[[str, str], dict[str, str]]) -> Any:
    """The expectation that a label is a known class, or a finite number."""
    if schema.task == "classification":
        return gxe.ExpectColumnValuesToBeInSet(
            column=schema.label,
            value_set=list(range(len(schema.classes))),
            meta=meta("rows", "label is unknown to the model"),
        )
    largest = float(np.finfo(np.float32).max)
    return gxe.ExpectColumnValuesToBeBetween(
        column=schema.label,
        min_value=-largest,
        max_value=largest,
        meta=meta("rows", "label is no finite number"),
    )


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
    """A suite as JSON, for `check_table`."""
    path = folder / f"{kind}.json"
    content = read_json(path, do="write the suites with `unshapley suites`")
    if not isinstance(content, dict) or "expectations" not in content:
        raise InputError(
            "not an expectation suite", where=path, do="write the suites with `unshapley suites`"
        )
    return content
