"""Start a project with tables: the rules that an inspection inferred, and copies of the files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from unshapley.config import PrepareSettings, ValidationSettings
from unshapley.data.inference import Inspection
from unshapley.new_project import init_project
from unshapley.project import Project

SHARE_KEPT = 0.6
"""At least so many of a provider's rows are training rows; the others may be held out."""


def with_inferred(inspection: Inspection, test: Path | None, settings: Sequence[str]) -> list[str]:
    """Settings of a new project, as KEY=VALUE: what an inspection found, then the user's own, which
    override it; test: a table that judges.
    """
    return [*_inferred(inspection), *([f"prepare.test={test.name}"] if test else []), *settings]


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


def _inferred(inspection: Inspection) -> list[str]:
    """What an inspection found, as settings; only what differs from the defaults."""
    chosen, default = inspection.settings.model_dump(), PrepareSettings().model_dump()
    out = [
        f"prepare.{key}={json.dumps(chosen[key])}" for key in chosen if chosen[key] != default[key]
    ]
    out.append("validation.feature_range=null")
    least = int(min(inspection.rows.values()) * SHARE_KEPT)
    if least < ValidationSettings().min_rows:
        out.append(f"validation.min_rows={max(1, least)}")
    if inspection.settings.task == "regression":
        out.append("valuation.utilities=[neg_mse, r2]")
    return out
