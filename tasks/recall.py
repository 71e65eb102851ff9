"""Reuse utilities that earlier runs of the same game measured, also with other players.

A coalition is identified by the forgotten providers. A run with other targets, or with another
provider in quarantine, may forget the same providers from the same model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from prefect.results import ResultRecord  # type: ignore[attr-defined]

from unshapley.files import is_sealed
from unshapley.game.coalitions import keys
from unshapley.game.measuring import CachedUtility, unpacked
from unshapley.valuing.execution import PLANNED

SHORT = 16
"""Number of characters of a game's key in the names of its results."""


def result_name(kind: str, game: str, plan: str, chunk: str) -> str:
    """Name of a chunk's result: it begins with its kind, and contains the game and the plan that it
    was measured for.

    plan: names a plan and its continuations, for example an estimator with its seed.
    """
    return f"{kind}-{game[:SHORT]}-{plan}-{chunk}"


def recall(
    results: Path,
    game: str,
    plan: str,
    rows: Mapping[str, str],
    utilities: Sequence[str],
    planned: Collection[bytes],
) -> dict[bytes, CachedUtility]:
    """Coalitions of the players for which other plans of this game have measured these utilities.

    rows: the players in provider order, each with the hash of the rows that are read to forget it;
    a result that was measured with other rows does not match. planned: keys of the plan's own
    coalitions.

    Measurements of the fidelity check are not reused, so that the check does not influence any bit
    of the values. Results of the plan itself are not reused either: its chunks are resumed as a
    whole, so that an interrupted or continued run gives the same bits as an uninterrupted one. A
    chunk that goes beyond the plan was measured for a larger budget, and is reused like those of
    other plans. Damaged results are skipped.
    """
    cached: dict[bytes, CachedUtility] = {}
    for path in sorted(results.glob(f"{PLANNED}-{game[:SHORT]}-*")):
        content = _content(path)
        if content and _has_measured(content["asked"], utilities):
            entries = dict(_by_coalition(content, rows, utilities))
            is_own = path.name.split("-")[2] == plan and all(key in planned for key in entries)
            cached.update({} if is_own else entries)
    return cached


def _content(path: Path) -> dict[str, Any] | None:
    try:
        result = ResultRecord[Any].deserialize(path.read_bytes()).result
    except (OSError, ValueError):
        return None
    return result["content"] if is_sealed(result) else None


def _has_measured(asked: Sequence[str], utilities: Sequence[str]) -> bool:
    """Whether all were measured; the first must agree, as only it has bootstrap samples."""
    return asked[0] == utilities[0] and set(utilities) <= set(asked)


def _by_coalition(
    content: dict[str, Any], rows: Mapping[str, str], utilities: Sequence[str]
) -> Iterator[tuple[bytes, CachedUtility]]:
    count = len(content["forgotten"])
    samples = unpacked(content["resampled"], count)
    columns = {
        column: values
        for name in utilities
        for column, values in content["utilities"].items()
        if column == name or column.startswith(f"{name}[")  # per-class utilities have several
    }
    for i, forgotten in enumerate(content["forgotten"]):
        if forgotten.items() <= rows.items():  # else the result is of other players or other rows
            coalition = np.array([[player not in forgotten for player in rows]])
            entry = CachedUtility(
                {name: values[i] for name, values in columns.items()}, samples[i], content["plan"]
            )
            yield keys(coalition)[0], entry
