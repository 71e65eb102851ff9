"""Task: check one table against its expectation suite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import task

from tasks.options import seal
from tasks.validation import validate_one


@task(name="validate", task_run_name="validate {name}")
def validate(root: Path, name: str, state: str, key: str) -> dict[str, Any]:
    """Findings of table `name`; `state` is the hash of all tables that it is compared with."""
    return seal(validate_one(root, name, state))
