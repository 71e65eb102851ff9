"""Suites of tables of text: documents instead of rows of numbers."""

from __future__ import annotations

from typing import Any

from tasks.expectations.building import COLUMNS, between, null
from unshapley.config import ValidationSettings
from unshapley.data.language_drift import FAR

UNKNOWN = 0.01
"""Share of tokens that a tokenizer may not know."""


def text_checks(kind: str, params: ValidationSettings) -> list[Any]:
    """The expectations of a `partition`, the `test` or the `reference` set of documents.

    What may not be there is critical. What several providers may hold in good faith, as a licence,
    and what may be on purpose, as another language, is a warning.
    """
    low, high = params.document_length or (None, None)
    checks = [
        null("missing_columns", COLUMNS),
        null("unexpected_columns", COLUMNS),
        _share("rows", "too few documents", low=params.min_rows if kind == "partition" else 1),
        _share("unnamed", "name of a document is missing, or stands there twice"),
        _share("empty", "document is empty"),
        _share("binary", "document holds NUL characters"),
        _share("foreign", "tokens are not those of the model's vocabulary"),
        _warned("replaced", "characters are lost (U+FFFD): the encoding may be another"),
        _warned("unknown", "tokens are unknown to the tokenizer", high=UNKNOWN),
        *([] if low is None else [_share("shortest", f"shorter than {low} characters", low=low)]),
        *([] if high is None else [_share("longest", f"longer than {high} characters", high=high)]),
        _warned("repeated_rows", "document stands there twice"),
    ]
    if kind != "reference":
        checks += _elsewhere("reference", "document also stands in the reference set")
    if kind == "partition":
        checks += _elsewhere("test", "training document also stands in the test set")
        also = "documents also stand in another provider's partition"
        checks += _elsewhere("partitions", also, severity="warning")
        checks.append(_warned("drift", "language is unlike that of the others", high=FAR))
    if params.near_copies is not None:
        checks += _near(kind, f"{params.near_copies:.0%} alike or more")
    return checks


def _near(kind: str, alike: str) -> list[Any]:
    also = {
        "near_repeated": f"near-copies stand there ({alike})",
        "near_in_reference": f"near-copies stand in the reference set ({alike})",
        "near_in_test": f"near-copies of training documents stand in the test set ({alike})",
        "near_in_partitions": f"near-copies stand in another provider's partition ({alike})",
    }
    keys = {"reference": 1, "test": 2, "partition": 4}[kind]
    return [_warned(key, message) for key, message in [*also.items()][:keys]]


def _elsewhere(other: str, message: str, severity: str = "critical") -> list[Any]:
    by_chance = f"{message}, no more than by chance"
    return [
        _share(f"rows_in_{other}", message, severity=severity),
        _warned(f"chance_in_{other}", by_chance),
    ]


def _share(
    column: str,
    message: str,
    *,
    low: float | None = None,
    high: float | None = None,
    severity: str = "critical",
) -> Any:
    """A critical expectation, by default that there is no such document."""
    if low is None and high is None:
        high = 0
    return between("tables", column, message, low=low, high=high, severity=severity)


def _warned(column: str, message: str, high: float = 0) -> Any:
    return _share(column, message, high=high, severity="warning")
