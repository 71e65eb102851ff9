"""Draw the report of a recorded valuation again, and compare it."""

from __future__ import annotations

from jinja2 import UndefinedError

from unshapley.audit.recorded import DO, RecordedValuation
from unshapley.audit.verdict import DIFFERENT, IDENTICAL, Check
from unshapley.errors import InputError
from unshapley.files import read_json
from unshapley.results.report.page import render_report
from unshapley.results.tables import all_tables
from unshapley.results.valuation import Valuation

WHAT = "report.html"


def check_page(recorded: RecordedValuation, derived: Valuation) -> Check:
    """The page that the recorded tables, figures and findings give, against report.html.

    It is the same everywhere, as a reader's browser draws its pictures from the recorded numbers.
    """
    path = recorded.project.valuation / WHAT
    try:
        written = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"not readable: {error}", where=path, do=DO) from None
    found = _rendered(recorded, derived)
    if written == found:
        return Check("publish", WHAT, IDENTICAL)
    lines = zip(written.split("\n"), found.split("\n"), strict=False)
    first = next(((a, b) for a, b in lines if a != b), ("", ""))
    same = next((i for i, (a, b) in enumerate(zip(*first, strict=False)) if a != b), 0)
    at = max(0, same - 40)
    details = tuple(
        f"{what}: {line[at : at + 100].strip()}"
        for what, line in zip(("recorded", "found"), first, strict=True)
    )
    return Check("publish", WHAT, DIFFERENT, 1, 1, details=details)


def _rendered(recorded: RecordedValuation, derived: Valuation) -> str:
    folder = recorded.project.valuation
    try:
        tables = {
            name: recorded.csv(name).astype(dict(table.dtypes))
            if name in recorded.manifest["outputs"]  # another version may not have written it
            else table
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
