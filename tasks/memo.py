"""What earlier runs of the same game measured, whatever they were for and whoever played.

A coalition is known by who is forgotten: a run with other targets, or another provider in
quarantine, forgets from the same model what this one does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prefect.results import ResultRecord  # type: ignore[attr-defined]

from tasks.options import is_sealed


class Memory(NamedTuple):
    """What is known of a coalition: utilities by name, the first on bootstrap samples, from whom.

    origin: the plan that had it measured, in words.
    """

    utilities: dict[str, float]
    resampled: list[float]
    origin: str


Known = dict[str, Memory]
"""By coalition, as bits."""
SHORT = 16
"""Characters of a game's key in the names of its results."""


def named(kind: str, game: str, plan: str, chunk: str) -> str:
    """Name of a chunk's result: of which game it is, and which plan asked for it.

    plan: what continues under the same name, as an estimator with its seed does.
    """
    return f"{kind}-{game[:SHORT]}-{plan}-{chunk}"


def recall(
    results: Path, game: str, plan: str, rows: Mapping[str, str], utilities: Sequence[str]
) -> Known:
    """Coalitions of the players that other plans of this game have measured in these utilities.

    rows: the players in provider order, each with the hash of those of its rows that forgetting it
    reads; what was measured with other rows is another coalition.

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
            known.update(_by_coalition(content, rows, utilities))
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


def _by_coalition(
    content: dict[str, Any], rows: Mapping[str, str], utilities: Sequence[str]
) -> Known:
    again = content["resampled"] or [[]] * len(content["forgotten"])
    by_name = {
        named: values
        for name in utilities
        for named, values in content["utilities"].items()
        if named == name or named.startswith(f"{name}[")  # a per-class one has several
    }
    return {
        bits: Memory({n: v[i] for n, v in by_name.items()}, again[i], content["plan"])
        for i, bits in _shared(content["forgotten"], rows)
    }


def _shared(
    measured: Sequence[Mapping[str, str]], rows: Mapping[str, str]
) -> Iterator[tuple[int, str]]:
    """Which of the measured coalitions are ones of these players and rows, as their bits."""
    for i, gone in enumerate(measured):
        if gone.items() <= rows.items():
            yield i, "".join("0" if player in gone else "1" for player in rows)
