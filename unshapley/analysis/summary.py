"""Summary of a published valuation, for a terminal or a program."""

from __future__ import annotations

import contextlib
import csv
from typing import Any

from unshapley.analysis.detection import duplicates, summarize
from unshapley.config import FaultSettings
from unshapley.files import read_json
from unshapley.project import Project
from unshapley.results.published import RUN_FIRST, read_values, require_published


def summarize_valuation(project: Project) -> dict[str, Any]:
    """Values, metrics and path of the report; with planted faults also how well they are detected.

    Raises `InputError` if nothing is published.
    """
    require_published(project)
    manifest = read_json(project.valuation / "manifest.json", do=RUN_FIRST)
    figures = read_json(project.valuation / "metrics.json", do=RUN_FIRST)
    with (project.valuation / "values.csv").open(newline="") as file:
        values = [{k: _number(v) for k, v in row.items()} for row in csv.DictReader(file)]
    content = {"values": values, "metrics": figures}
    faults = FaultSettings.model_validate(manifest["config"]["faults"])
    published = read_values(project.valuation / "values.csv")
    by_provider = {entry.provider: entry.value for entry in published if entry.value is not None}
    detection = summarize(by_provider, faults)
    if detection:
        content["detection"] = detection
    if faults.duplicate:
        copies = duplicates(_interactions(project), faults)
        if copies:
            content["copies"] = copies
    return {**content, "report": str(project.valuation / "report.html")}


def _interactions(project: Project) -> dict[tuple[str, str], float]:
    with (project.valuation / "interactions.csv").open(newline="") as file:
        return {
            (row["provider"], row["other"]): float(row["interaction"])
            for row in csv.DictReader(file)
        }


def _number(text: str) -> str | float | int | None:
    if not text:
        return None
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text
