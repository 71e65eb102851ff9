"""A flow that can be watched: its span, its outcome, its lines, exported before it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.runtime.observing.exporting import flush, start_exporting
from flows.runtime.observing.instruments import RUNS, TRACER
from flows.runtime.observing.logs import log_as_json
from unshapley.errors import UnshapleyError


@contextmanager
def observed(flow: str, project: Path) -> Iterator[None]:
    """The time in which a flow works on a project.

    Raises `InputError` where the environment asks for what is not there.
    """
    log_as_json()
    start_exporting()
    labels, outcome = {"flow": flow, "project": project.resolve().name}, "crashed"
    try:
        with TRACER.start_as_current_span(flow, attributes=labels):
            yield
        outcome = "done"
    except UnshapleyError as error:
        outcome = type(error).__name__.removesuffix("Error").lower()
        raise
    except Exception:
        outcome = "failed"
        raise
    finally:
        RUNS.add(1, {**labels, "outcome": outcome})
        flush()
