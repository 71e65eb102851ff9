"""Events of a valuation, as Prefect's server and its automations see them.

Their resource is the project: `unshapley.project.` and its folder.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect.events import emit_event

from unshapley.analysis.moved import Moved

log = logging.getLogger("unshapley.run")

PUBLISHED, UNTRUSTED = "unshapley.valuation.published", "unshapley.valuation.untrusted"
TAGGED = "unshapley.valuation.tagged"
QUARANTINED, MOVED = "unshapley.provider.quarantined", "unshapley.value.moved"


def project_resource(project: Path) -> str:
    """How events name a project."""
    return f"unshapley.project.{project.resolve()}"


def published(project: Path, folder: Path, figures: Mapping[str, Any]) -> None:
    """Values stand in `folder`."""
    _emit(PUBLISHED, project, {"folder": str(folder), "figures": dict(figures)})


def tagged(project: Path, outcome: dict[str, Any]) -> None:
    """A refresh has committed and tagged a valuation."""
    _emit(TAGGED, project, outcome)


def untrusted(project: Path, folder: Path, reason: str) -> None:
    """Values were refused by the fidelity check; they lie in `folder`."""
    _emit(UNTRUSTED, project, {"folder": str(folder), "summary": reason})


def quarantined(project: Path, reasons: Mapping[str, str]) -> None:
    """Providers were left out, with the reason of each."""
    if reasons:
        lines = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        _emit(QUARANTINED, project, {"providers": dict(reasons), "summary": lines})


def moved(project: Path, values: Sequence[Moved]) -> None:
    """Also said in the log: nothing else would, where nobody watches events."""
    if values:
        lines = "; ".join(map(str, values))
        log.warning("values beyond the interval that they had before: %s", lines)
        _emit(MOVED, project, {"values": [vars(v) for v in values], "summary": lines})


def _emit(event: str, project: Path, payload: dict[str, Any]) -> None:
    named = {
        "prefect.resource.id": project_resource(project),
        "prefect.resource.name": project.resolve().name,
    }
    emit_event(event, named, payload=payload)
