"""Log lines as JSON, one object a line, with the run and the chunk that they are about."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any

from unshapley.errors import InputError

FORMAT = "UNSHAPLEY_LOG_FORMAT"


def wants_json() -> bool:
    """Whether the environment asks for JSON; `InputError` where it asks for what there is not."""
    chosen = os.environ.get(FORMAT, "text")
    if chosen not in ("text", "json"):
        raise InputError(f"is {chosen!r}", where=FORMAT, expected="text or json")
    return chosen == "json"


class JsonLines(logging.Handler):
    """Writes to what is the standard error stream at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        print(json.dumps(fields_of(record), ensure_ascii=False, default=str), file=sys.stderr)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """`time`, `level`, `logger`, `message`; `run`, `flow`, `task` and `chunk` where there are some;
    `error` with its traceback.
    """
    content: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
        **_context(),
    }
    if record.exc_info:
        content["error"] = logging.Formatter().formatException(record.exc_info)
    return content


def _context() -> dict[str, Any]:
    if "prefect" not in sys.modules:  # not imported for a line
        return {}
    from prefect.context import FlowRunContext, TaskRunContext

    flow, task = FlowRunContext.get(), TaskRunContext.get()
    found: dict[str, Any] = {}
    if flow is not None and flow.flow_run is not None:
        found |= {"run": str(flow.flow_run.id), "flow": flow.flow.name if flow.flow else ""}
    if task is not None:
        found.setdefault("run", str(task.task_run.flow_run_id))
        found["task"] = task.task.name
        chunk = task.parameters.get("chunk")
        if chunk is not None:
            found["chunk"] = getattr(chunk, "value", chunk)
    return found


def log_as_json() -> None:
    """Our own lines as JSON from now on, where the environment asks for it."""
    logger = logging.getLogger("unshapley")
    if wants_json() and not any(isinstance(h, JsonLines) for h in logger.handlers):
        logger.setLevel(logging.INFO)
        logger.addHandler(JsonLines())
