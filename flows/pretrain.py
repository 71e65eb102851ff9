"""The pretrain stage: validate, then train on the providers that are not quarantined."""

from __future__ import annotations

from tasks.expectations.validation import check_parameters, validate_project, verdict
from unshapley.config import Params
from unshapley.game.pretraining import pretrain as train_model
from unshapley.models.store import ModelRecord
from unshapley.progress import Phases, silent_phases
from unshapley.project import Project


def pretrain(project: Project, params: Params, phases: Phases = silent_phases) -> ModelRecord:
    """Write data/model; raises `ValidationError` before training if rows are bad."""
    check_parameters(project, params)
    reports = validate_project(project, progress=phases("validating", "tables"))
    quarantined = verdict(reports, params.validation.policy)
    providers = [p for p in project.providers() if p not in quarantined]
    return train_model(project, params, providers, quarantined, phases)
