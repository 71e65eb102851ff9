"""The pretrain stage: validate, then train on the providers that are not quarantined."""

from __future__ import annotations

from tasks.expectations.validation import check_parameters, validate_project, verdict
from unshapley.config import Params
from unshapley.errors import InputError
from unshapley.game.pretraining import pretrain as train_model
from unshapley.models.store import ModelRecord
from unshapley.progress import Phases, silent_phases
from unshapley.project import Project


def pretrain(
    project: Project, params: Params, phases: Phases = silent_phases, *, replace: bool = False
) -> ModelRecord:
    """Write data/model; raises `ValidationError` before training if rows are bad, and `InputError`
    where an imported model stands, unless that is to be replaced.
    """
    check_parameters(project, params)
    if not replace:
        _check_trained_here(project)
    reports = validate_project(project, progress=phases("validating", "tables"))
    quarantined = verdict(reports, params.validation.policy)
    providers = [p for p in project.providers() if p not in quarantined]
    return train_model(project, params, providers, quarantined, phases)


def _check_trained_here(project: Project) -> None:
    path = project.model / "model.json"
    record = ModelRecord.load(project.model) if path.is_file() else None
    if record is not None and record.imported is not None:
        raise InputError(
            f"the model was imported from {record.imported.name}, and would be replaced",
            where=path,
            do="value it as it is (`unshapley run`), or train another in its place with --replace",
        )
