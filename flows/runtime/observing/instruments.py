"""Spans and metrics of a run. Without an exporter (`exporting`) they cost nothing and go nowhere.

Names follow OpenTelemetry's conventions; docs/observing.md lists them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation

from flows.runtime.memory import family_mb

TRACER = trace.get_tracer("unshapley")
_METER = metrics.get_meter("unshapley")

Labels = Mapping[str, str]

RUNS = _METER.create_counter(
    "unshapley.runs", "{run}", "runs that ended, by flow, project and outcome"
)
COALITIONS = _METER.create_counter(
    "unshapley.coalitions",
    "{coalition}",
    "coalitions measured, by unlearner; its rate is the speed",
)
CHUNKS = _METER.create_counter(
    "unshapley.chunks", "{chunk}", "chunks done, by outcome: computed, resumed or retried"
)
PENDING = _METER.create_up_down_counter(
    "unshapley.chunks.pending", "{chunk}", "chunks planned and not done"
)
_SECONDS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000]
STEP_SECONDS = _METER.create_histogram(
    "unshapley.step.duration",
    "s",
    "time of a step of a flow",
    explicit_bucket_boundaries_advisory=_SECONDS,
)
CHUNK_SECONDS = _METER.create_histogram(
    "unshapley.chunk.duration",
    "s",
    "time of a chunk's work",
    explicit_bucket_boundaries_advisory=_SECONDS,
)


def _memory(options: CallbackOptions) -> Iterable[Observation]:
    return [Observation(int(family_mb() * 2**20))]


_METER.create_observable_gauge(
    "unshapley.memory", [_memory], "By", "resident memory of a run and its worker processes"
)


def chunk_done(
    result: Mapping[str, Any], coalitions: int, *, resumed: bool, labels: Labels
) -> None:
    """Count a chunk whose result arrived; its span ends now, wherever it was computed."""
    attempts = result.get("attempts", 1)
    outcome = "resumed" if resumed else "retried" if attempts > 1 else "computed"
    CHUNKS.add(1, {**labels, "outcome": outcome})
    PENDING.add(-1, {"project": labels["project"]})
    if resumed:
        return
    seconds = sum(result["seconds"].values())
    COALITIONS.add(coalitions - sum(result["recalled"].values()), labels)
    CHUNK_SECONDS.record(seconds, labels)
    end = time.time_ns()
    attributes = {**labels, "coalitions": coalitions, "attempts": attempts, **result["seconds"]}
    span = TRACER.start_span("chunk", start_time=end - int(seconds * 1e9), attributes=attributes)
    span.end(end)
