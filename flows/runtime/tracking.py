"""Record a run: seconds by step, chunks computed and resumed, memory."""

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
    """Peak memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclass
class Tracker:
    """The content of run.json; nothing in it influences a result."""

    start: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: dict[str, float] = field(default_factory=dict)
    computed: int = 0
    resumed: int = 0
    recalled: Counter[str] = field(default_factory=Counter)
    """number of coalitions that other plans had measured, by plan"""
    measuring: dict[str, float] = field(default_factory=dict)
    estimated_mb: float = 0.0
    """estimate for one chunk, made before the run"""
    used_mb: float = 0.0
    """memory that all chunks needed at the same time, above the memory before measuring"""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure the time of one step of the flow."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    @contextmanager
    def memory(self) -> Iterator[None]:
        """Record how much the memory of this process grows inside the block."""
        memory_before = psutil.Process().memory_info().rss / 2**20
        yield
        self.used_mb = max(0.0, peak_mb() - memory_before)

    def chunk(self, result: dict[str, Any], *, resumed: bool) -> None:
        """Count a finished chunk."""
        if resumed:
            self.resumed += 1
            return
        self.computed += 1
        self.recalled.update(result["recalled"])
        for name, elapsed in result["seconds"].items():
            self.measuring[name] = self.measuring.get(name, 0.0) + elapsed

    def summary(self, run: dict[str, Any]) -> dict[str, Any]:
        """The content of run.json, which differs from run to run; no hash covers it."""
        end = datetime.now(UTC)
        return {
            "start": self.start.isoformat(),
            "end": end.isoformat(),
            "seconds": {
                "total": round((end - self.start).total_seconds(), 3),
                **{name: round(elapsed, 3) for name, elapsed in self.seconds.items()},
            },
            "seconds_in_chunks": {
                name: round(elapsed, 3) for name, elapsed in self.measuring.items()
            },
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
    """Write run.json to the folder of the valuation."""
    write_json(project.data / folder_name / RUN, summary)
