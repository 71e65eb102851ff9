"""Draw the report of a recorded valuation again, and compare it."""

from __future__ import annotations

import re

import numpy as np
from jinja2 import UndefinedError

from unshapley import environment
from unshapley.audit.recorded import DO, RecordedValuation
from unshapley.audit.verdict import DIFFERENT, IDENTICAL, UNEXAMINED, Check
from unshapley.errors import InputError
from unshapley.files import read_json
from unshapley.results.report.page import render_report
from unshapley.results.tables import all_tables
from unshapley.results.valuation import Valuation

WHAT = "report.html"
PICTURE = re.compile(r"<svg.*?</svg>", re.DOTALL)
NUMBER = re.compile(r"-?\d+\.?\d*(?:e-?\d+)?")
DRAWN = 1e-3
"""By how much coordinates of a picture may differ, in points: other processors round otherwise."""


def check_page(recorded: RecordedValuation, derived: Valuation) -> Check:
    """The page that the recorded tables, figures and findings give, against report.html.

    Its text is the same everywhere, its pictures where the same version of matplotlib draws them.
    """
    path = recorded.project.valuation / WHAT
    try:
        written = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"not readable: {error}", where=path, do=DO) from None
    found = _rendered(recorded, derived)
    texts = [PICTURE.sub("", page) for page in (written, found)]
    if texts[0] != texts[1]:
        lines = zip(*(text.split("\n") for text in texts), strict=False)
        first = next(((a, b) for a, b in lines if a != b), ("", ""))
        details = (f"recorded: {first[0].strip()[:100]}", f"found: {first[1].strip()[:100]}")
        return Check("publish", WHAT, DIFFERENT, 1, 1, details=details)
    if _drawn_alike("".join(PICTURE.findall(written)), "".join(PICTURE.findall(found))):
        return Check("publish", WHAT, IDENTICAL)
    here = environment.versions()["matplotlib"]
    there = recorded.manifest["versions"]["matplotlib"]
    what = "pictures of report.html"
    if here != there:
        why = f"matplotlib {here} draws otherwise than {there}, which is recorded"
        return Check("publish", what, UNEXAMINED, details=(why,))
    why = "they are not what the recorded tables give; the text of the page is"
    return Check("publish", what, DIFFERENT, 1, 1, details=(why,))


def _drawn_alike(written: str, found: str) -> bool:
    """Whether pictures are the same but for what rounding does to coordinates."""
    if written == found:
        return True
    if NUMBER.sub("", written) != NUMBER.sub("", found):
        return False
    a, b = (np.array([float(x) for x in NUMBER.findall(text)]) for text in (written, found))
    return len(a) == len(b) and bool(np.all(np.abs(a - b) <= DRAWN))


def _rendered(recorded: RecordedValuation, derived: Valuation) -> str:
    folder = recorded.project.valuation
    try:
        tables = {
            name: recorded.csv(name).astype(dict(table.dtypes))
            for name, table in all_tables(derived).items()
        }
    except (KeyError, TypeError, ValueError) as error:  # other columns, or a rank that is none
        raise InputError(f"a table cannot be drawn: {error}", where=folder, do=DO) from None
    provenance = {k: v for k, v in recorded.manifest.items() if k not in ("outputs", "previous")}
    figures, validation = (
        read_json(folder / name, do=DO) for name in ("metrics.json", "validation.json")
    )
    try:
        return render_report(derived, tables, validation, provenance, figures)
    except UndefinedError as error:  # our page shows what another version did not record
        raise InputError(f"the report cannot be drawn: {error}", where=folder, do=DO) from None
