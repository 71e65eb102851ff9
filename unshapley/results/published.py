"""A published valuation, read again by what acts on it."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from unshapley.errors import InputError
from unshapley.files import read_json, sha256
from unshapley.project import Project

RUN_FIRST = "run `unshapley run`"


@dataclass(frozen=True)
class PublishedValue:
    """A line of values.csv; a quarantined provider has no value and no interval."""

    provider: str
    status: str
    value: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None


@dataclass(frozen=True)
class Published:
    """What data/valuation holds: its lines in provider order, the utility valued, the manifest."""

    providers: tuple[PublishedValue, ...]
    utility: str
    manifest: Mapping[str, Any]

    @property
    def values(self) -> dict[str, float]:
        """Value by provider, of those who have one."""
        return {e.provider: e.value for e in self.providers if e.value is not None}

    @property
    def warning(self) -> str:
        """What to know of its fidelity before acting on it; empty where nothing is to be said."""
        check = self.manifest["fidelity"]
        if check["status"] != "trusted":
            return f"fidelity {check['status']}: nothing was retrained to check these values"
        if check["weak"]:
            return (
                f"unlearning explains only {check['explained']:.0%} of what forgetting does; "
                "ranks may be wrong"
            )
        return ""


def require_published(place: Project) -> None:
    """Raise `InputError` unless a whole valuation is published."""
    for name in ("manifest.json", "values.csv"):
        if not (place.valuation / name).is_file():
            raise InputError(
                "no valuation stands here, or its publication was interrupted",
                where=place.valuation / name,
                do=RUN_FIRST,
            )


def read_published(place: Project) -> Published:
    """The published valuation of a project.

    Raises `InputError` where there is none, and where values.csv is not as it was published: money
    and proofs hang on it.
    """
    require_published(place)
    manifest = read_json(place.valuation / "manifest.json", do=RUN_FIRST)
    path = _as_published(place, "values.csv", manifest)
    figures = read_json(place.valuation / "metrics.json", do=RUN_FIRST)
    return Published(read_values(path), figures["utility"], manifest)


def read_table(place: Project, name: str) -> pd.DataFrame:
    """A published CSV; `InputError` where it is absent, or not as it was published."""
    manifest = read_json(place.valuation / "manifest.json", do=RUN_FIRST)
    return pd.read_csv(_as_published(place, name, manifest))


def _as_published(place: Project, name: str, manifest: Mapping[str, Any]) -> Path:
    path = place.valuation / name
    if not path.is_file():
        raise InputError("is not here", where=path, do="fetch it with `dvc pull`, or run again")
    if sha256(path) != manifest["outputs"][name]:
        raise InputError(
            "not the file that was published",
            where=path,
            expected=f"SHA-256 {manifest['outputs'][name][:12]}…, as manifest.json says",
            do="restore it with `git checkout` or `dvc checkout`, or run `unshapley run` again",
        )
    return path


def read_values(path: Path) -> tuple[PublishedValue, ...]:
    """The lines of a values.csv; `InputError` names the provider whose numbers are none."""
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(_entry(path, row) for row in csv.DictReader(file))


def _entry(path: Path, row: Mapping[str, str]) -> PublishedValue:
    try:
        provider, status = row["provider"], row["status"]
        if status != "valued":
            return PublishedValue(provider, status)
        value, low, high = (float(row[name]) for name in ("value", "ci_low", "ci_high"))
    except (KeyError, TypeError, ValueError):
        raise _no_numbers(path, row.get("provider")) from None
    if not all(map(math.isfinite, (value, low, high))):
        raise _no_numbers(path, provider)
    return PublishedValue(provider, status, value, low, high)


def _no_numbers(path: Path, provider: str | None) -> InputError:
    return InputError(
        f"provider {provider!r} has no finite value and interval",
        where=path,
        expected="the columns provider, value, ci_low, ci_high, status of a published valuation",
        do=RUN_FIRST,
    )
