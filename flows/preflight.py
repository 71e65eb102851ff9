"""What can be refused before anything is started or spent."""

from __future__ import annotations

from tasks.validation import check_complete, check_parameters
from unshapley.config import Params
from unshapley.curvaturestore import CurvatureRecord
from unshapley.errors import InputError
from unshapley.estimators import make_plan
from unshapley.modelstore import ModelRecord
from unshapley.project import Project
from unshapley.rows import Schema
from unshapley.stopping import affordable, check_rules
from unshapley.unlearning import Unlearner, build_unlearner
from unshapley.unlearning.base import out_of_reach
from unshapley.utilities import check_utilities


def preflight(place: Project, params: Params) -> None:
    """Raise `InputError` where tables, suites or model are missing or not of these parameters, and
    where what is to be measured does not fit them.
    """
    check_targets(place, params)
    check_complete(place, params.valuation.targets)
    check_parameters(place, params)
    unlearner = build_unlearner(params.valuation.unlearner, params.valuation.options)
    check_reach(place, unlearner)
    if unlearner.needs:
        check_statistics(place, params)
    check_plan(place, params)
    check_utilities(params.valuation.utilities, Schema.load(place.schema).task)
    if ModelRecord.load(place.model).recipe != params.pretrain:
        raise InputError(
            "the model was trained with another recipe than params.yaml states under pretrain",
            where=place.model / "model.json",
            do="run `unshapley pretrain` (or `dvc repro`), or restore params.yaml",
        )


def check_targets(place: Project, params: Params) -> None:
    """Raise `InputError` for targets that are unknown, named twice, or fewer than two."""
    targets = params.valuation.targets
    known = sorted(ModelRecord.load(place.model).partitions)
    strangers = [name for name in targets if name not in known]
    if strangers or len(set(targets)) < len(targets) or len(targets) == 1:
        problem = "names a provider twice"
        if strangers:
            problem = f"the model was not trained on provider {strangers[0]!r}"
        elif len(targets) == 1:
            problem = "names one provider only"
        raise InputError(
            problem,
            where="valuation.targets",
            expected=f"none, or two or more of {', '.join(known)}",
        )


def check_plan(place: Project, params: Params) -> None:
    """Raise `InputError` for an estimator that does not exist or needs a larger budget, and for
    rules of stopping that it cannot follow.

    Who will be quarantined is not known yet: fewer players never need more.
    """
    wanted = params.valuation
    named = wanted.targets or place.providers()
    check_rules(wanted.stop, wanted.estimator, len(named))
    make_plan(wanted.estimator, len(named), affordable(wanted.budget, wanted.stop), wanted.seed)


def check_reach(place: Project, unlearner: Unlearner) -> None:
    """Raise `InputError` where the unlearner reads retained rows and some are absent."""
    providers = ModelRecord.load(place.model).partitions
    lacking = sum(not place.partition(name).is_file() for name in providers)
    if lacking and unlearner.reads_rows and not unlearner.retain_free:
        raise out_of_reach(unlearner.name, "stays", lacking, len(providers))


def check_statistics(place: Project, params: Params) -> None:
    """Raise `InputError` where the curvature statistics were made with other parameters."""
    settings = CurvatureRecord.load(place.curvature).settings
    if settings != params.curvature:
        raise InputError(
            f"the statistics were made with {settings}",
            where=place.curvature / "curvature.json",
            expected=f"{params.curvature}, as params.yaml says under curvature",
            do="run `unshapley curvature` (or `dvc repro`), or restore params.yaml",
        )
