"""Task: check every table against its expectation suite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.expectations.validation import validate_project
from unshapley.project import Project


@task(name="validate", cache_policy=NO_CACHE, persist_result=False)
def validate(project: Project, targets: Sequence[str]) -> list[dict[str, Any]]:
    """Findings of all tables; those of tables that were checked before are kept."""
    return validate_project(project, targets)
