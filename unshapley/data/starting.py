"""Start a project with tables: the rules that an inspection inferred, and copies of the files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from unshapley.config import PrepareSettings, ValidationSettings
from unshapley.data.columns import check_same_columns
from unshapley.data.inference import Inspection
from unshapley.data.reading import read_file
from unshapley.errors import InputError
from unshapley.new_project import init_project
from unshapley.project import Project

SHARE_KEPT = 0.6
"""At least so many of a provider's rows are training rows; the others may be held out."""


def with_inferred(inspection: Inspection, test: Path | None, settings: Sequence[str]) -> list[str]:
    """Settings of a new project, as KEY=VALUE: what an inspection found (with what the user had
    stated in section prepare), then the user's own of other sections; test: a table that judges.
    """
    others = [text for text in settings if not text.startswith(("prepare.", "prepare="))]
    return [*_inferred(inspection), *([f"prepare.test={test.name}"] if test else []), *others]


def init_with_tables(folder: Path, tables: Mapping[str, Path], settings: Sequence[str]) -> Path:
    """Create a project with copies of these tables in data/raw.

    tables: by their place in data/raw. Raises `InputError` as `init_project` does, and leaves
    nothing behind then.
    """
    params = init_project(folder, settings)
    for name, path in tables.items():
        target = Project(folder).raw / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return params


def doubts(inspection: Inspection) -> list[str]:
    """What may be wrong with the providers: there is only one, or one has very few rows."""
    if len(inspection.rows) < 2:
        return [
            f"there is one provider only, {next(iter(inspection.rows))}, and `run` needs two: "
            "give a file of each, or name the column that says whose a row is by --provider"
        ]
    provider = min(inspection.rows, key=lambda name: inspection.rows[name])
    least = _least_rows(inspection)
    if least is None:
        return []
    return [
        f"{provider} has {inspection.rows[provider]} rows only, so validation.min_rows is set to "
        f"{least}: the value of so few says little"
    ]


def check_own_set(path: Path, inspection: Inspection) -> None:
    """Raise `InputError` for a table that judges without the columns of the others."""
    settings = inspection.settings
    if not path.is_file():
        raise InputError("there is no such file", where=path, expected="a table that judges")
    aside = {*settings.drop, *settings.aside}
    names = {*read_file(path, settings.read).rows.column_names} - aside
    needed = {*(fact.name for fact in inspection.columns), settings.label} - aside
    check_same_columns(names, path, needed, "the table of a provider")


def _least_rows(inspection: Inspection) -> int | None:
    """A new project's validation.min_rows, where the usual one would refuse a provider."""
    least = int(min(inspection.rows.values()) * SHARE_KEPT)
    return max(1, least) if least < ValidationSettings().min_rows else None


def _inferred(inspection: Inspection) -> list[str]:
    """What an inspection found, as settings; only what differs from the defaults."""
    chosen, default = inspection.settings.model_dump(), PrepareSettings().model_dump()
    out = [
        f"prepare.{key}={json.dumps(chosen[key])}" for key in chosen if chosen[key] != default[key]
    ]
    out.append("validation.feature_range=null")
    least = _least_rows(inspection)
    if least is not None:
        out.append(f"validation.min_rows={least}")
    if inspection.settings.task == "regression":
        out.append("valuation.utilities=[neg_mse, r2]")
    return out
