"""What earlier runs of the same game measured, whatever they were for and whoever played.

A coalition is known by who is forgotten: a run with other targets, or another provider in
quarantine, forgets from the same model what this one does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from prefect.results import ResultRecord  # type: ignore[attr-defined]

from unshapley.files import is_sealed
from unshapley.game.coalitions import keys
from unshapley.game.measuring import CachedUtility

PLANNED = "chunk"
"""How the names of results begin that a plan asked for."""
SHORT = 16
"""Characters of a game's key in the names of its results."""


def result_name(kind: str, game: str, plan: str, chunk: str) -> str:
    """Name of a chunk's result: of which game it is, and which plan asked for it.

    plan: what continues under the same name, as an estimator with its seed does.
    """
    return f"{kind}-{game[:SHORT]}-{plan}-{chunk}"


def recall(
    results: Path, game: str, plan: str, rows: Mapping[str, str], utilities: Sequence[str]
) -> dict[bytes, CachedUtility]:
    """Coalitions of the players that other plans of this game have measured in these utilities.

    rows: the players in provider order, each with the hash of those of its rows that forgetting it
    reads; what was measured with other rows is another coalition.

    Only what a plan asked for, not what the fidelity check added: whether it was checked must not
    decide any bits. And not those of the plan itself: its chunks are resumed as wholes, so that a
    run that was interrupted, or is continued, has the bits of one that ran through. A damaged
    result is passed over.
    """
    cached: dict[bytes, CachedUtility] = {}
    for path in sorted(results.glob(f"{PLANNED}-{game[:SHORT]}-*")):
        if path.name.split("-")[2] == plan:
            continue
        content = _content(path)
        if content and _has_measured(content["asked"], utilities):
            cached.update(_by_coalition(content, rows, utilities))
    return cached


def _content(path: Path) -> dict[str, Any] | None:
    try:
        result = ResultRecord[Any].deserialize(path.read_bytes()).result
    except (OSError, ValueError):
        return None
    return result["content"] if is_sealed(result) else None


def _has_measured(asked: Sequence[str], utilities: Sequence[str]) -> bool:
    """Whether all were measured; only the first one is kept on bootstrap samples."""
    return asked[0] == utilities[0] and set(utilities) <= set(asked)


def _by_coalition(
    content: dict[str, Any], rows: Mapping[str, str], utilities: Sequence[str]
) -> Iterator[tuple[bytes, CachedUtility]]:
    samples = content["resampled"] or [[]] * len(content["forgotten"])
    columns = {
        column: values
        for name in utilities
        for column, values in content["utilities"].items()
        if column == name or column.startswith(f"{name}[")  # a per-class one has several
    }
    for i, forgotten in enumerate(content["forgotten"]):
        if forgotten.items() <= rows.items():  # else of other players, or of other rows
            coalition = np.array([[player not in forgotten for player in rows]])
            entry = CachedUtility(
                {n: v[i] for n, v in columns.items()}, samples[i], content["plan"]
            )
            yield keys(coalition)[0], entry
