"""The outcome of an audit as a file for programs and as a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unshapley.audit.verdict import (
    DIFFERENT,
    EXPECTED,
    IDENTICAL,
    MISSING,
    UNEXAMINED,
    WITHIN,
)
from unshapley.files import write_json, written_whole
from unshapley.results.report.rendering import render

JSON, PAGE = "audit.json", "audit.html"
CLASSES = {
    **dict.fromkeys((IDENTICAL, WITHIN, EXPECTED), "good"),
    **dict.fromkeys((DIFFERENT, MISSING), "bad"),
    UNEXAMINED: "note",
}


def write_audit(folder: Path, summary: Mapping[str, Any]) -> None:
    """Write audit.json and audit.html; raises `InputError` where the folder cannot be written."""
    page = render_audit(summary)
    with written_whole(folder / PAGE) as part:
        part.write_text(page, encoding="utf-8")
    write_json(folder / JSON, summary)


def render_audit(summary: Mapping[str, Any]) -> str:
    """The page as HTML, from the content of audit.json; it needs no network and no scripts."""
    return render("audit.html.j2", "unshapley.audit", audit=summary, classes=CLASSES)
