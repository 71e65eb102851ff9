"""What suites are built of."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

COLUMNS = "columns are not those of the schema"
_IMPORT = threading.Lock()


def great_expectations() -> Any:
    """The package, imported only when needed (it takes seconds), quiet and without analytics."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with _IMPORT:
        import great_expectations
        import great_expectations.expectations
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    return great_expectations


def null(column: str, message: str) -> Any:
    """The expectation that a column of the view `tables` is empty."""
    return great_expectations().expectations.ExpectColumnValuesToBeNull(
        column=column, meta={"view": "tables", "message": message}
    )


def between(
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
