"""Checks before anything is computed: all that params.yaml, schema and files show.

Every command calls `preflight` for what it is about to do; each step includes the checks of those
before it, so that nothing that is known at the beginning is told at the end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from enum import IntEnum

import numpy as np
import pandas as pd
import torch

from tasks.expectations.suites import check_columns, check_suites
from tasks.expectations.validation import check_complete
from unshapley.config import Params
from unshapley.curvature.store import CurvatureRecord, check_settings
from unshapley.data.preparation import check_prepared
from unshapley.data.tables import Schema, read_table
from unshapley.environment import check_numerics
from unshapley.errors import InputError
from unshapley.estimators import estimate, make_plan
from unshapley.estimators.stopping import affordable, check_rules
from unshapley.extensions import is_import_path
from unshapley.fidelity.gate import ROWS_ABSENT
from unshapley.game.utilities import build_utilities
from unshapley.models.building import build
from unshapley.models.store import ModelRecord
from unshapley.project import Project
from unshapley.unlearning import Unlearner, build_unlearner
from unshapley.unlearning.auto import AutoUnlearner
from unshapley.unlearning.base import out_of_reach


class Step(IntEnum):
    """What is about to be done."""

    INIT = 0
    PREPARE = 1
    SUITES = 2
    VALIDATE = 3
    PRETRAIN = 4
    RUN = 5


def preflight(project: Project, params: Params, step: Step = Step.RUN) -> None:
    """Raise `InputError` for the first thing that would keep this step, or those after it, from
    succeeding: parameters that contradict each other, tables, suites or a model that are missing or
    were made with other parameters.
    """
    check_parameters(params, importing=step is not Step.INIT)
    if step >= Step.PRETRAIN:
        check_numerics(params.valuation.numerics)
    if step <= Step.PREPARE:
        return
    schema = Schema.load(project.schema)
    providers: Collection[str] = schema.providers
    if step is Step.RUN:
        providers = ModelRecord.load(project.model).partitions
    source = "the model was not trained on" if step is Step.RUN else "there is no"
    check_targets(params.valuation.targets, providers, source)
    if step >= Step.VALIDATE:
        check_complete(project, params.valuation.targets)
    check_prepared(schema, params, project.schema)
    if step >= Step.VALIDATE:
        check_suites(project.expectations, params.validation)
        check_columns(project.expectations, schema)
    check_plan(params, project.providers() if step >= Step.VALIDATE else schema.providers)
    if step >= Step.PRETRAIN:
        check_labels(project, params, schema)
    if step is Step.PRETRAIN:
        check_architecture(params, schema)
    if step is Step.RUN:
        check_model(project, params)


def foreseen(project: Project, params: Params) -> Iterator[str]:
    """Why a valuation will not be published whatever it gives, if that is known already."""
    absent = _absent(project)
    if params.fidelity.publish_unchecked:
        return
    if absent:
        yield f"{ROWS_ABSENT}: the values will go to data/untrusted"
    elif not params.fidelity.coalitions and not params.correction.coalitions:
        yield (
            "fidelity.coalitions is 0: unless unlearning retrains every coalition, the values will "
            "go to data/untrusted"
        )


def check_parameters(params: Params, *, importing: bool = True) -> None:
    """Raise `InputError` for parameters that contradict each other.

    importing: import what 'package.module:name' names; a new project may not hold it yet.
    """
    settings = params.valuation

    def known(name: str) -> bool:
        return importing or not is_import_path(name)

    build_utilities([name for name in settings.utilities if known(name)], params.prepare.task)
    if known(settings.unlearner):
        build_unlearner(settings.unlearner, settings.options)
    check_targets(settings.targets)
    if known(settings.estimator):
        budget = affordable(settings.budget, settings.stop)
        if settings.targets:
            check_rules(settings.stop, settings.estimator, len(settings.targets))
        make_plan(settings.estimator, len(settings.targets) or 2, budget, settings.seed)


def check_targets(
    targets: list[str], known: Collection[str] | None = None, source: str = "there is no"
) -> None:
    """Raise `InputError` for targets that are named twice, fewer than two, or, where it is `known`
    which there are, unknown.
    """
    unknown = [name for name in targets if known is not None and name not in known]
    if unknown or len(set(targets)) < len(targets) or len(targets) == 1:
        problem = "names a provider twice"
        if unknown:
            problem = f"{source} provider {unknown[0]!r}"
        elif len(targets) == 1:
            problem = "names one provider only"
        raise InputError(
            problem,
            where="valuation.targets",
            expected=f"none, or two or more of {', '.join(sorted(known))}"
            if known is not None
            else "none, or two or more, each once",
        )


def check_linear(estimator: str, n: int = 6) -> None:
    """Raise `InputError` if a correction's error cannot be computed with this estimator."""
    plan = make_plan(estimator, n, 2**n - 3, 0)
    sizes = plan.coalitions.sum(axis=1) / n
    if estimate(plan, np.array([0.0, *sizes, 1.0])).operator is None:
        raise InputError(
            f"{estimator} is not linear in the utilities: the error of a correction is unknown",
            where="valuation.estimator",
            do="use another, such as auto, or set correction.coalitions to 0",
        )


def check_plan(params: Params, providers: Collection[str]) -> None:
    """Raise `InputError` if the estimator is unknown, needs a larger budget, or cannot follow the
    stopping rules or take a correction.

    Providers to be quarantined are not known yet, but fewer players never need a larger budget.
    """
    settings = params.valuation
    players = settings.targets or providers
    check_rules(settings.stop, settings.estimator, len(players))
    budget = affordable(settings.budget, settings.stop)
    plan = make_plan(settings.estimator, len(players), budget, settings.seed)
    if params.correction.coalitions and plan.estimator != "exact":
        check_linear(plan.estimator)


def check_architecture(params: Params, schema: Schema) -> None:
    """Raise `InputError` if the architecture cannot be built, or does not fit the tables."""
    recipe = params.pretrain
    build(
        recipe.architecture,
        in_features=len(schema.features),
        classes=schema.outputs,
        kwargs=recipe.kwargs,
        seed=recipe.seed,
    )


def check_labels(project: Project, params: Params, schema: Schema) -> None:
    """Raise `InputError` for a utility that the labels of the test set do not define, or, where it
    is the primary one, do not define on enough bootstrap samples.
    """
    utilities = build_utilities(params.valuation.utilities, schema.task)
    if any(utility.varied for utility in utilities):  # else no table need be read
        labels = read_table(project.test).get(schema.label, pd.Series(dtype=float))
        y = torch.tensor(pd.to_numeric(labels, errors="coerce").to_numpy(dtype=float))
        for utility in utilities:
            utility.check_defined(y)
        utilities[0].samples_of(y)


def check_model(project: Project, params: Params) -> None:
    """Raise `InputError` if the model was trained otherwise, or the unlearner lacks rows,
    statistics or a device.
    """
    unlearner = build_unlearner(params.valuation.unlearner, params.valuation.options)
    check_reach(project, unlearner)
    if unlearner.needs:
        check_settings(project, params.curvature)
    if unlearner.needs == "features" and CurvatureRecord.load(project.curvature).layer is None:
        raise InputError(
            f"{unlearner.name} needs a model that ends in a torch.nn.Linear",
            where="valuation.unlearner",
            do="set another; `unshapley fidelity` compares them on this project",
        )
    if params.valuation.device == "cuda" and not torch.cuda.is_available():
        raise InputError("there is no CUDA device", where="valuation.device", do="set it to cpu")
    if ModelRecord.load(project.model).recipe != params.pretrain:
        raise InputError(
            "the model was trained with another recipe than params.yaml states under pretrain",
            where=project.model / "model.json",
            do="run `unshapley pretrain` (or `dvc repro`), or restore params.yaml",
        )


def check_reach(project: Project, unlearner: Unlearner) -> None:
    """Raise `InputError` if the unlearner reads retained rows and some are absent."""
    absent = _absent(project)
    if isinstance(unlearner, AutoUnlearner):  # it takes one that reads no rows then
        return
    if absent and unlearner.reads_rows and not unlearner.retain_free:
        providers = ModelRecord.load(project.model).partitions
        raise out_of_reach(unlearner.name, "stays", absent, len(providers))


def _absent(project: Project) -> int:
    """How many providers of the model have no rows here."""
    providers = ModelRecord.load(project.model).partitions
    return sum(not project.partition(name).is_file() for name in providers)
