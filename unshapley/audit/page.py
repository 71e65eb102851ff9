"""Draw the report of a recorded valuation again, and compare it."""

from __future__ import annotations

import re

from unshapley import environment
from unshapley.audit.derivation import ERRORS
from unshapley.audit.recorded import DO, RecordedValuation
from unshapley.audit.verdict import DIFFERENT, IDENTICAL, UNEXAMINED, Check
from unshapley.errors import InputError
from unshapley.files import read_json
from unshapley.results.report.page import render_report
from unshapley.results.tables import all_tables
from unshapley.results.valuation import Valuation

WHAT = "report.html"
WRITTEN = ("std_error", "ci_low", "ci_high", *ERRORS)
"""Columns of values.csv that the page takes as they are written: other checks are about them."""
PICTURE = re.compile(r"<svg.*?</svg>", re.DOTALL)


def check_page(recorded: RecordedValuation, derived: Valuation) -> Check:
    """The page that the recorded tables, figures and findings give, against report.html.

    Its text is the same everywhere; pictures are the same where matplotlib and its fonts are.
    """
    path = recorded.project.valuation / WHAT
    try:
        written = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"not readable: {error}", where=path, do=DO) from None
    found = _rendered(recorded, derived)
    if written == found:
        return Check("publish", WHAT, IDENTICAL)
    if PICTURE.sub("", written) != PICTURE.sub("", found):
        texts = (PICTURE.sub("", page).split("\n") for page in (written, found))
        lines = zip(*texts, strict=False)
        first = next(((a, b) for a, b in lines if a != b), ("", ""))
        details = (f"recorded: {first[0].strip()[:100]}", f"found: {first[1].strip()[:100]}")
        return Check("publish", WHAT, DIFFERENT, 1, 1, details=details)
    here = environment.versions()["matplotlib"]
    there = recorded.manifest["versions"]["matplotlib"]
    why = f"its text is the recorded one; its pictures differ, as other fonts or matplotlib {here} "
    why += f"(recorded is {there}) draw them, or they were altered"
    return Check("publish", "pictures of report.html", UNEXAMINED, details=(why,))


def _rendered(recorded: RecordedValuation, derived: Valuation) -> str:
    folder = recorded.project.valuation
    tables, values = all_tables(derived), recorded.csv("values.csv")
    for column in WRITTEN:
        tables["values.csv"][column] = values[column]
    provenance = {k: v for k, v in recorded.manifest.items() if k not in ("outputs", "previous")}
    figures, validation = (
        read_json(folder / name, do=DO) for name in ("metrics.json", "validation.json")
    )
    return render_report(derived, tables, validation, provenance, figures)
