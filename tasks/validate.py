"""Task: check every table against its expectation suite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.expectations.validation import validate_project
from unshapley.project import Project


@task(name="validate", cache_policy=NO_CACHE, persist_result=False)
def validate(project: Project, targets: Sequence[str], state: str) -> list[dict[str, Any]]:
    """Findings of all tables; a table that was checked before is not checked again.

    state: hash of the tables and suites.
    """
    return validate_project(project, targets, state)
