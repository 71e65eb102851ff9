"""What earlier runs of the same game measured, whatever estimator or utility they were for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect.results import ResultRecord  # type: ignore[attr-defined]

from tasks.options import is_sealed

Known = dict[str, tuple[dict[str, float], list[float]]]
"""By coalition, as bits: its utilities by name, and the first on bootstrap samples."""
SHORT = 16
"""Characters of a game's key in the names of its results."""


def named(kind: str, game: str, plan: str, chunk: str) -> str:
    """Name of a chunk's result: of which game it is, and which plan asked for it.

    plan: what continues under the same name, as an estimator with its seed does.
    """
    return f"{kind}-{game[:SHORT]}-{plan}-{chunk}"


def recall(results: Path, game: str, plan: str, utilities: Sequence[str]) -> Known:
    """Coalitions that other plans of this game have measured in these utilities.

    Not those of the plan itself: its chunks are resumed as wholes, so that a run that was
    interrupted, or is continued, has the bits of one that ran through. A damaged result is passed
    over.
    """
    known: Known = {}
    for path in sorted(results.glob(f"*-{game[:SHORT]}-*")):
        if path.name.split("-")[2] == plan:
            continue
        content = _content(path)
        if content and _serves(content["asked"], utilities):
            known.update(_by_coalition(content, utilities))
    return known


def _content(path: Path) -> dict[str, Any] | None:
    try:
        result = ResultRecord[Any].deserialize(path.read_bytes()).result
    except (OSError, ValueError):
        return None
    return result["content"] if is_sealed(result) else None


def _serves(asked: Sequence[str], utilities: Sequence[str]) -> bool:
    """Whether all were measured; only the first one is kept on bootstrap samples."""
    return asked[0] == utilities[0] and set(utilities) <= set(asked)


def _by_coalition(content: dict[str, Any], utilities: Sequence[str]) -> Known:
    again = content["resampled"] or [[]] * len(content["bits"])
    by_name = {
        named: values
        for name in utilities
        for named, values in content["utilities"].items()
        if named == name or named.startswith(f"{name}[")  # a per-class one has several
    }
    return {
        bits: ({name: values[i] for name, values in by_name.items()}, again[i])
        for i, bits in enumerate(content["bits"])
    }
