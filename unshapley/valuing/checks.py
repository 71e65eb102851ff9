"""Checks before anything is computed: what parameters, providers and labels show."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from torch import Tensor

from unshapley.config import Params
from unshapley.data.tables import TEXT
from unshapley.errors import InputError
from unshapley.estimators import estimate, make_plan
from unshapley.estimators.stopping import affordable, check_rules
from unshapley.extensions import is_import_path
from unshapley.game.utilities import build_utilities
from unshapley.game.utility import Utility
from unshapley.unlearning import build_unlearner, check_task


def check_parameters(params: Params, *, importing: bool = True) -> None:
    """Raise `InputError` for parameters that contradict each other.

    importing: import what 'package.module:name' names; a new project may not hold it yet.
    """
    settings = params.valuation

    def known(name: str) -> bool:
        return importing or not is_import_path(name)

    build_utilities([name for name in settings.utilities if known(name)], params.prepare.task)
    if known(settings.unlearner):
        unlearner = build_unlearner(settings.unlearner, settings.options)
        check_task(unlearner, text=params.prepare.task == TEXT)
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


def check_defined(utilities: Sequence[Utility], y: Tensor) -> None:
    """Raise `InputError` for a utility that the labels of the test set `(rows,)` do not define, or,
    where it is the primary one, do not define on enough bootstrap samples.
    """
    for utility in utilities:
        utility.check_defined(y)
    utilities[0].samples_of(y)
