"""How tasks are cached and retried.

A result is a JSON file in .unshapley/results. Its name is a content key that the caller computes
(the parameter `key`). It is sealed with a hash, so that a damaged file is recognised and computed
again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import Task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.tasks import exponential_backoff

from unshapley.config import RunSettings
from unshapley.errors import UnshapleyError

DEFECTS = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""Errors that the same arguments raise again."""
BY_KEY = CacheKeyFnPolicy(cache_key_fn=lambda _context, parameters: parameters["key"])


def kept(
    task: Task[..., Any], results: Path, run: RunSettings, *, refresh: bool = False
) -> Task[..., Any]:
    """`task` with results stored in folder `results` by their key, and retried with backoff."""
    return task.with_options(
        cache_policy=BY_KEY,
        persist_result=True,
        result_storage=results,  # a Path is resolved at run time
        result_serializer="json",
        refresh_cache=refresh,
        **retried(run),
    )


def retried(run: RunSettings) -> dict[str, Any]:
    """Retry options of a task: backoff of 1, 2, 4 … seconds with jitter."""
    return {
        "retries": run.retries,
        "retry_delay_seconds": exponential_backoff(1),
        "retry_jitter_factor": 0.5,
        "retry_condition_fn": is_transient,
    }


def is_transient(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a retry may help: not after a mistake of the user, a diverged model or a defect."""
    try:
        state.result()
    except (UnshapleyError, *DEFECTS):
        return False
    except Exception:  # noqa: BLE001 (any other error may be temporary)
        return True
    return False
