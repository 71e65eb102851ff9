"""The pretraining flow, for a deployment. The command `unshapley pretrain` does the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from flows.preflight import Step, preflight
from flows.pretrain import pretrain as train
from flows.runtime.guard import check_allowed
from flows.runtime.locks import RUN, only_run
from flows.runtime.observing.observed import observed
from flows.runtime.reaping import reap
from unshapley.config import load_params
from unshapley.extensions import look_in
from unshapley.project import Project


def _run_name() -> str:
    return f"pretraining of {Path(flow_run.parameters['project']).resolve().name}"


@flow(name="pretrain", flow_run_name=_run_name)
def pretrain(project: Path = Path(), replace: bool = False) -> dict[str, Any]:
    """Validate the tables of a project folder, and train its model anew.

    Args:
        project: folder that holds params.yaml and data/.
        replace: also in place of a model that was imported.

    """
    check_allowed(project)
    paths = Project(project.resolve())
    look_in(paths.root)
    params = load_params(paths.params)
    with observed("pretrain", paths.root), only_run(paths):
        reap(paths, RUN)
        preflight(paths, params, Step.PRETRAIN)
        record = train(paths, params, replace=replace)
    return {"score": record.score, "steps": record.steps, "quarantined": record.quarantined}
