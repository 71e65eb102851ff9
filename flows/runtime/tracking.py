"""Record a run: seconds by step, chunks computed and resumed, memory."""

from __future__ import annotations

import logging
import platform
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flows.runtime.memory import peak_mb, worker_peaks_mb
from flows.runtime.observing.instruments import STEP_SECONDS, TRACER, Labels
from unshapley.config import RunSettings
from unshapley.files import write_json
from unshapley.project import Project
from unshapley.results.layout import RUN

log = logging.getLogger("unshapley.run")


@dataclass
class Tracker:
    """The content of run.json, and what telemetry is told; nothing in it influences a result.

    labels: of the run's spans and metrics, with `project` among them; workers: how many chunks are
    measured at a time.
    """

    labels: Labels = field(default_factory=lambda: {"project": ""})
    workers: int = 1
    start: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: dict[str, float] = field(default_factory=dict)
    computed: int = 0
    resumed: int = 0
    recalled: Counter[str] = field(default_factory=Counter)
    """number of coalitions that other plans had measured, by plan"""
    measuring: dict[str, float] = field(default_factory=dict)
    estimated_mb: float = 0.0
    """estimate for one chunk, made before the run"""
    before_mb: float = 0.0
    """memory of this process before measuring"""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure the time of one step of the flow."""
        start = time.perf_counter()
        try:
            with TRACER.start_as_current_span(name, attributes=dict(self.labels)):
                yield
        finally:
            elapsed = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + elapsed
            STEP_SECONDS.record(elapsed, {**self.labels, "step": name})

    def memory_mb(self, run: RunSettings) -> dict[str, Any]:
        """The peak of this process and of its workers so far, beside the estimate, in MiB.

        estimated: for the process that measures, which is this one where tasks run in threads: what
        it held before, and a chunk for each task at a time. A worker process holds about what this
        one did before, and one chunk.
        """
        return {
            "peak": round(peak_mb(), 1),
            "workers": [round(peak, 1) for peak in worker_peaks_mb()],
            "estimated": round(self.before_mb + run.tasks_in_process * self.estimated_mb, 1),
            "before_measuring": round(self.before_mb, 1),
            "estimated_chunk": round(self.estimated_mb, 1),
        }

    def chunk(self, result: dict[str, Any], *, resumed: bool) -> None:
        """Count a finished chunk."""
        if resumed:
            self.resumed += 1
            return
        self.computed += 1
        self.recalled.update(result["recalled"])
        for name, elapsed in result["seconds"].items():
            self.measuring[name] = self.measuring.get(name, 0.0) + elapsed

    def orchestration_share(self) -> float | None:
        """Share of the workers' time while measuring in which they worked on no chunk; None where
        none was computed.
        """
        available = self.workers * self.seconds.get("measure", 0.0)
        if not self.computed or not available:
            return None
        return round(max(0.0, 1 - sum(self.measuring.values()) / available), 3)

    def summary(self, run: RunSettings) -> dict[str, Any]:
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
            "orchestration_share": self.orchestration_share(),
            "chunks": {"computed": self.computed, "resumed": self.resumed},
            "coalitions_recalled": self.recalled.total(),
            "recalled_from": dict(self.recalled),
            "memory_mb": self.memory_mb(run),
            "run": run.model_dump(mode="json"),
            "host": {
                "name": platform.node(),
                "machine": platform.machine(),
                "system": platform.platform(),
            },
        }


def write_run(project: Project, folder_name: str, summary: dict[str, Any]) -> None:
    """Write run.json to the folder of the valuation."""
    write_json(project.data / folder_name / RUN, summary)
