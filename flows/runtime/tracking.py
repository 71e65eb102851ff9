"""How a run stands: seconds by step, chunks computed and resumed, progress for people."""

from __future__ import annotations

import logging
import platform
import resource
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psutil

from unshapley.files import write_json
from unshapley.project import Project
from unshapley.results.layout import RUN

log = logging.getLogger("unshapley.run")


def peak_mb() -> float:
    """Most memory that this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclass
class Tracker:
    """What run.json will say; nothing of it influences a result."""

    start: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: dict[str, float] = field(default_factory=dict)
    computed: int = 0
    resumed: int = 0
    recalled: Counter[str] = field(default_factory=Counter)
    """coalitions that other plans had measured, by plan"""
    measuring: dict[str, float] = field(default_factory=dict)
    estimated_mb: float = 0.0
    """of one chunk, before the run"""
    used_mb: float = 0.0
    """by all chunks at a time, on top of what was held before measuring"""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step of the flow."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin

    @contextmanager
    def memory(self) -> Iterator[None]:
        """Note how far the memory of this process grows over what it holds now."""
        before = psutil.Process().memory_info().rss / 2**20
        yield
        self.used_mb = max(0.0, peak_mb() - before)

    def chunk(self, result: dict[str, Any], *, cached: bool) -> None:
        """Count a finished chunk."""
        if cached:
            self.resumed += 1
            return
        self.computed += 1
        self.recalled.update(result["recalled"])
        for name, spent in result["seconds"].items():
            self.measuring[name] = self.measuring.get(name, 0.0) + spent

    def summary(self, run: dict[str, Any]) -> dict[str, Any]:
        """run.json: what differs from run to run, covered by no hash."""
        end = datetime.now(UTC)
        return {
            "start": self.start.isoformat(),
            "end": end.isoformat(),
            "seconds": {
                "total": round((end - self.start).total_seconds(), 3),
                **{name: round(spent, 3) for name, spent in self.seconds.items()},
            },
            "seconds_in_chunks": {n: round(spent, 3) for n, spent in self.measuring.items()},
            "chunks": {"computed": self.computed, "resumed": self.resumed},
            "coalitions_recalled": self.recalled.total(),
            "recalled_from": dict(self.recalled),
            "memory_mb": {
                "estimated_chunk": round(self.estimated_mb, 1),
                "used": round(self.used_mb, 1),
                "peak": round(peak_mb(), 1),
            },
            "run": run,
            "host": {
                "name": platform.node(),
                "machine": platform.machine(),
                "system": platform.platform(),
            },
        }


def write_run(project: Project, folder_name: str, summary: dict[str, Any]) -> None:
    """Put run.json beside the valuation."""
    write_json(project.data / folder_name / RUN, summary)
