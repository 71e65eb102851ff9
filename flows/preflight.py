"""Checks before a run starts."""

from __future__ import annotations

from tasks.expectations.validation import check_complete, check_parameters
from unshapley.config import Params
from unshapley.curvature.store import check_settings
from unshapley.data.tables import Schema
from unshapley.errors import InputError
from unshapley.estimators import make_plan
from unshapley.estimators.stopping import affordable, check_rules
from unshapley.game.utilities import build_utilities
from unshapley.models.store import ModelRecord
from unshapley.project import Project
from unshapley.unlearning import Unlearner, build_unlearner
from unshapley.unlearning.base import out_of_reach


def preflight(project: Project, params: Params) -> None:
    """Raise `InputError` if tables, suites or model are missing or were made with other parameters,
    or if targets, unlearner, estimator or utilities do not fit them.
    """
    check_targets(project, params)
    check_complete(project, params.valuation.targets)
    check_parameters(project, params)
    unlearner = build_unlearner(params.valuation.unlearner, params.valuation.options)
    check_reach(project, unlearner)
    if unlearner.needs:
        check_settings(project, params.curvature)
    check_plan(project, params)
    build_utilities(params.valuation.utilities, Schema.load(project.schema).task)
    if ModelRecord.load(project.model).recipe != params.pretrain:
        raise InputError(
            "the model was trained with another recipe than params.yaml states under pretrain",
            where=project.model / "model.json",
            do="run `unshapley pretrain` (or `dvc repro`), or restore params.yaml",
        )


def check_targets(project: Project, params: Params) -> None:
    """Raise `InputError` for targets that are unknown, named twice, or fewer than two."""
    targets = params.valuation.targets
    known = sorted(ModelRecord.load(project.model).partitions)
    unknown = [name for name in targets if name not in known]
    if unknown or len(set(targets)) < len(targets) or len(targets) == 1:
        problem = "names a provider twice"
        if unknown:
            problem = f"the model was not trained on provider {unknown[0]!r}"
        elif len(targets) == 1:
            problem = "names one provider only"
        raise InputError(
            problem,
            where="valuation.targets",
            expected=f"none, or two or more of {', '.join(known)}",
        )


def check_plan(project: Project, params: Params) -> None:
    """Raise `InputError` if the estimator is unknown, needs a larger budget, or cannot follow the
    stopping rules.

    Providers to be quarantined are not known yet, but fewer players never need a larger budget.
    """
    settings = params.valuation
    players = settings.targets or project.providers()
    check_rules(settings.stop, settings.estimator, len(players))
    make_plan(
        settings.estimator, len(players), affordable(settings.budget, settings.stop), settings.seed
    )


def check_reach(project: Project, unlearner: Unlearner) -> None:
    """Raise `InputError` if the unlearner reads retained rows and some are absent."""
    providers = ModelRecord.load(project.model).partitions
    absent = sum(not project.partition(name).is_file() for name in providers)
    if absent and unlearner.reads_rows and not unlearner.retain_free:
        raise out_of_reach(unlearner.name, "stays", absent, len(providers))
