"""Read a published valuation."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unshapley.errors import InputError
from unshapley.files import from_text, read_json, sha256
from unshapley.project import Project

if TYPE_CHECKING:
    import pandas as pd

GRADES = {
    "values": "as good as another retraining",
    "ranks": "ranks can be relied on, amounts less so",
    "extremes": "only the best and the worst provider are told apart",
    "none": "not even the best and the worst provider are told apart",
}
"""What values are good for, by `fidelity.grade`, the best first."""
TEST_SOURCES = "test_sources.csv"
RUN_FIRST = "run `unshapley run`"
TEXT = ("provider", "other", "source", "order", "status", "coalition")
"""Columns of published tables that are no numbers."""


@dataclass(frozen=True)
class PublishedValue:
    """A row of values.csv; None where it is empty.

    A quarantined provider has no value. Some estimators give no errors, and a part of the error
    that does not apply is empty.
    """

    provider: str
    status: str
    value: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    std_error: float | None = None
    test_error: float | None = None
    rank: int | None = None
    rows: int | None = None


@dataclass(frozen=True)
class Published:
    """The content of data/valuation: values in provider order, their utility, and the manifest."""

    providers: tuple[PublishedValue, ...]
    utility: str
    manifest: Mapping[str, Any]

    @property
    def values(self) -> dict[str, float]:
        """Value by provider, without providers that have no value."""
        return {entry.provider: entry.value for entry in self.providers if entry.value is not None}

    @property
    def warning(self) -> str:
        """A warning about the fidelity of the values; empty if there is no reason for one."""
        check = self.manifest["fidelity"]
        if check["status"] != "trusted":
            return f"fidelity {check['status']}: nothing was retrained to check these values"
        if check.get("grade") == "extremes":  # valuations of before 0.2 have none
            return f"fidelity {check['grade']}: {GRADES['extremes']}"
        if check["weak"]:
            return f"unlearning explains only {check['explained']:.0%} of what forgetting does"
        return ""


def require_published(project: Project) -> None:
    """Raise `InputError` unless a complete valuation is published."""
    for name in ("manifest.json", "values.csv"):
        if not (project.valuation / name).is_file():
            refused = refused_valuation(project)
            if refused:
                raise InputError(
                    f"no valuation is published here; {refused}",
                    where=project.valuation,
                    do=f"look at {project.relative(project.untrusted / 'report.html')}, which says "
                    "what to change, then run `unshapley run` again",
                )
            raise InputError(
                "no valuation stands here, or its publication was interrupted",
                where=project.valuation / name,
                do=RUN_FIRST,
            )


def refused_valuation(project: Project) -> str:
    """What the last run left in data/untrusted, in words; empty if it was published."""
    refused, published = (
        folder / "manifest.json" for folder in (project.untrusted, project.valuation)
    )
    if not refused.is_file():
        return ""
    if published.is_file() and published.stat().st_mtime >= refused.stat().st_mtime:
        return ""
    status = read_json(refused, do=RUN_FIRST)["fidelity"]["status"]
    return (
        f"the values of the last run are {status}, and lie in "
        f"{project.relative(project.untrusted)}/"
    )


def read_published(project: Project) -> Published:
    """The published valuation of a project.

    Raises `InputError` if there is none, or if values.csv is not the file that was published:
    payouts depend on it.
    """
    require_published(project)
    manifest = read_json(project.valuation / "manifest.json", do=RUN_FIRST)
    path = _as_published(project, "values.csv", manifest)
    figures = read_json(project.valuation / "metrics.json", do=RUN_FIRST)
    providers = read_values(path)
    for entry in providers:
        if entry.value is not None and entry.ci_low is None:
            raise _no_numbers(path, entry.provider)
    return Published(providers, figures["utility"], manifest)


def read_table(project: Project, name: str) -> pd.DataFrame:
    """A published CSV file; `InputError` if it is absent, or not the file that was published."""
    manifest = read_json(project.valuation / "manifest.json", do=RUN_FIRST)
    return read_csv(_as_published(project, name, manifest))


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV of ours: names stay text, whatever they look like; all other columns are numbers."""
    import pandas as pd

    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    for column in frame.columns:
        if column in TEXT:
            frame[column] = frame[column].map(from_text)
        else:
            frame[column] = pd.to_numeric(frame[column].replace("", None))
    return frame


def _as_published(project: Project, name: str, manifest: Mapping[str, Any]) -> Path:
    path = project.valuation / name
    if not path.is_file():
        raise InputError("is missing", where=path, do="fetch it with `dvc pull`, or run again")
    if sha256(path) != manifest["outputs"][name]:
        raise InputError(
            "not the file that was published",
            where=path,
            expected=f"SHA-256 {manifest['outputs'][name][:12]}…, as manifest.json says",
            do="restore it with `git checkout` or `dvc checkout`, or run `unshapley run` again",
        )
    return path


def read_values(path: Path) -> tuple[PublishedValue, ...]:
    """The rows of a values.csv; `InputError` if a value or interval is not a finite number."""
    return parse_values(path.read_text(encoding="utf-8"), path)


def parse_values(text: str, where: Path | str) -> tuple[PublishedValue, ...]:
    """The rows of the text of a values.csv, named `where` in an `InputError`."""
    return tuple(_entry(where, row) for row in csv.DictReader(io.StringIO(text, newline="")))


NUMBERS = ("value", "ci_low", "ci_high", "std_error", "test_error")


def _entry(where: Path | str, row: Mapping[str, str]) -> PublishedValue:
    try:
        provider, status = from_text(row["provider"]), row["status"]
        rows = int(row["rows"]) if row.get("rows") else None
        if status != "valued":
            return PublishedValue(provider, status, rows=rows)
        numbers = {name: float(row[name]) for name in NUMBERS if row.get(name)}
        rank = int(row["rank"]) if row.get("rank") else None
    except (KeyError, TypeError, ValueError):
        raise _no_numbers(where, row.get("provider")) from None
    if "value" not in numbers or not all(map(math.isfinite, numbers.values())):
        raise _no_numbers(where, provider)
    return PublishedValue(provider, status, rank=rank, rows=rows, **numbers)


def _no_numbers(where: Path | str, provider: str | None) -> InputError:
    return InputError(
        f"provider {provider!r} has no finite value and interval",
        where=where,
        expected="the columns provider, value, ci_low, ci_high, status of a published valuation",
        do=RUN_FIRST,
    )
