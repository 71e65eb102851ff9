"""What was done, a JSON line each, and the table of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HEADINGS = (
    "fault",
    "repetitions",
    "resumed",
    "bits equal",
    "chunks beyond",
    "all well",
    "missed",
    "seconds",
)


@dataclass(frozen=True)
class Line:
    """One repetition. code: hash of the sources that ran; hit: whether the command was still at work
    when the fault came; missed: tries in which it was not; skipped: why this machine cannot make the fault, else empty.
    """

    fault: str
    repetition: int
    seed: int
    code: str
    hit: bool = False
    missed: int = 0
    resumed: bool = False
    equal: bool = False
    beyond: int | None = None
    seconds: float = 0.0
    problems: Sequence[str] = ()
    skipped: str = ""
    note: dict[str, Any] = field(default_factory=dict)

    @property
    def well(self) -> bool:
        return not self.problems


def read(path: Path) -> list[Line]:
    """All lines; a last one that a kill has cut short is left out."""
    lines = []
    for text in path.read_text().splitlines() if path.is_file() else ():
        try:
            lines.append(Line(**json.loads(text)))
        except (json.JSONDecodeError, TypeError):
            continue
    return lines


def append(path: Path, line: Line) -> None:
    """In one write, so that two drills may share a record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(line), sort_keys=True) + "\n"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def table(lines: Iterable[Line]) -> str:
    """A row a fault, in Markdown."""
    by_fault: dict[str, list[Line]] = {}
    for line in lines:
        by_fault.setdefault(line.fault, []).append(line)
    rows = [HEADINGS, *(_row(name, all_of) for name, all_of in by_fault.items())]
    rows.append(_row("all", [line for all_of in by_fault.values() for line in all_of]))
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(HEADINGS))]
    texts = [
        " | ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    texts.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {text} |" for text in texts)


def _row(name: str, lines: Sequence[Line]) -> tuple[object, ...]:
    skipped = {line.skipped for line in lines if line.skipped}
    hits = [line for line in lines if line.hit]
    if skipped and not hits:
        return (name, f"not run: {'; '.join(sorted(skipped))}", *[""] * (len(HEADINGS) - 2))
    beyond = [line.beyond for line in hits if line.beyond is not None]
    return (
        name,
        len(hits),
        sum(line.resumed for line in hits),
        sum(line.equal for line in hits),
        sum(beyond) if beyond else "–",
        sum(line.well for line in hits),
        sum(line.missed for line in lines),
        round(sum(line.seconds for line in lines)),
    )
