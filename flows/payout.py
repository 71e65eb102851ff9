"""Pay a budget out by the published values, and write who gets what."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from unshapley.errors import InputError
from unshapley.files import written_whole
from unshapley.payout import Payout, amount, pay
from unshapley.project import Project
from unshapley.published import Published, read_published

COLUMNS = ("provider", "value", "share", "share_low", "share_high", "payout", "note")


def payout(
    place: Project, budget: str, floor: str, unit: str, out: Path | None
) -> tuple[Published, tuple[Payout, ...]]:
    """The published valuation and everybody's payout, written to `out` if it is named.

    Raises `InputError` for amounts that are none or do not fit, and where nothing is published.
    """
    if out is not None and out.is_dir():
        raise InputError("is a folder", where=out, expected="a file to write the table to")
    money = amount(budget, "--budget"), amount(floor, "--floor"), amount(unit, "--unit")
    published = read_published(place)
    paid = pay(published.entries, *money)
    if out is not None:
        write(paid, out)
    return published, paid


def write(paid: Sequence[Payout], path: Path) -> None:
    """Write payouts as CSV in provider order, empty where there is no value."""
    with written_whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(COLUMNS)
        for one in paid:
            known = {**vars(one), "payout": f"{one.payout:f}"}
            lines.writerow("" if known[c] is None else known[c] for c in COLUMNS)
