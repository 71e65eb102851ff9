"""Summary of a published valuation, for a terminal or a program."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from unshapley.analysis.detection import duplicates, summarize
from unshapley.config import FaultSettings
from unshapley.files import from_text, read_json
from unshapley.game.units import unit_of
from unshapley.origin import Origin
from unshapley.project import Project
from unshapley.results.conclusion import conclusion
from unshapley.results.published import (
    RUN_FIRST,
    TEST_SOURCES,
    TEXT,
    read_values,
    refused_valuation,
    require_published,
)


def summarize_valuation(project: Project) -> dict[str, Any]:
    """Values, metrics and path of the report; with planted faults also how well they are detected.

    Raises `InputError` if nothing is published.
    """
    require_published(project)
    manifest = read_json(project.valuation / "manifest.json", do=RUN_FIRST)
    figures = read_json(project.valuation / "metrics.json", do=RUN_FIRST)
    values = _rows(project.valuation / "values.csv")
    pairs = _rows(project.valuation / "differences.csv")
    by_source = project.valuation / TEST_SOURCES  # valuations of before 0.2 have none
    sources = _rows(by_source) if by_source.is_file() else []
    sentences = conclusion(values, pairs, figures["fidelity"], sources)
    content: dict[str, Any] = {"values": values, "metrics": figures, "conclusion": sentences}
    content["unit"] = unit_of(figures["utility"])
    prepared = manifest["config"]["prepare"]
    if prepared.get("task") == "language-model":
        context = prepared["documents"]["context"]
        content["rows"] = f"rows are windows of {context} tokens, each of one document"
    if "model" in manifest:
        content["model"] = Origin.model_validate(manifest["model"]).sentence()
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
    refused = refused_valuation(project)
    if refused:
        content["refused"] = refused
    return {**content, "report": str(project.valuation / "report.html")}


def _rows(path: Path) -> list[dict[str, Any]]:
    """A published table, its cells as texts of names, numbers or None."""
    with path.open(newline="") as file:
        return [{k: _cell(k, v) for k, v in row.items()} for row in csv.DictReader(file)]


def _interactions(project: Project) -> dict[tuple[str, str], float]:
    rows = _rows(project.valuation / "interactions.csv")
    return {(row["provider"], row["other"]): row["interaction"] for row in rows}


def _cell(column: str, text: str) -> str | float | int | None:
    """Text of a name, whatever it looks like; else a number, or None."""
    if column in TEXT:
        return from_text(text)
    if not text:
        return None
    return int(text) if column in ("rank", "rows") else float(text)
