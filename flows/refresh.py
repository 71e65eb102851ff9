"""The refresh flow, for a schedule. The command `unshapley refresh` does the same at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from flows.alerts import events
from flows.refresh_steps.job import refusal
from flows.refresh_steps.repository import DEFAULT_SECONDS
from flows.refresh_steps.steps import refresh_project
from flows.runtime.guard import check_allowed
from flows.runtime.observing.observed import observed
from flows.valuation import valuation
from unshapley.config import Params
from unshapley.project import Project


def _run_name() -> str:
    return f"refresh of {Path(flow_run.parameters['project']).resolve().name}"


@flow(name="refresh", flow_run_name=_run_name)
def refresh(
    project: Path = Path(),
    drop: Path | None = None,
    push: bool = True,
    limit_minutes: float = DEFAULT_SECONDS / 60,
) -> dict[str, Any]:
    """Value a project again if its inputs changed, and publish the valuation with git and DVC.

    Args:
        project: a git and DVC checkout that holds params.yaml and dvc.yaml.
        drop: folder for deliveries: one CSV or parquet file for each provider.
        push: push commit, tag and data to the remotes.
        limit_minutes: stop a DVC command that takes longer (a git command: 10 minutes at most).

    """
    check_allowed(project, drop=drop)
    limit = limit_minutes * 60
    with observed("refresh", project):
        outcome = refresh_project(Project(project), value, drop=drop, push=push, limit=limit)
    if outcome.changed:
        events.tagged(project, outcome.summary())
    if outcome.refused:
        raise refusal(outcome)
    return outcome.summary()


def value(project: Path, params: Params) -> None:
    """Run the valuation flow, inside the refresh flow if one is running."""
    valuation(project=project, params=params)
