"""Validate → load → value (plan → calibrate → measure → check or correct) → publish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from flows.runtime.guard import check_allowed
from flows.runtime.stored import Stated
from flows.valuation_steps.loading import open_game
from flows.valuation_steps.publishing import publish_values
from flows.valuation_steps.run import running_valuation
from flows.valuation_steps.validating import validate_tables
from unshapley.valuing.assembling import value_game


def _run_name() -> str:
    return f"valuation of {Path(flow_run.parameters['project']).resolve().name}"


@flow(name="valuation", flow_run_name=_run_name)
def valuation(project: Path = Path(), params: Stated | None = None) -> dict[str, Any]:
    """Value every provider of a project folder.

    Args:
        project: folder that holds params.yaml and data/.
        params: the configuration; left out, params.yaml is read.

    """
    check_allowed(project, params=params)
    with running_valuation(project, params) as run:
        tables = validate_tables(run)
        opened = open_game(run, tables)
        values = value_game(opened.execution, opened.game, opened.unlearner, tables.left_out)
        return publish_values(run, opened, values, tables)
