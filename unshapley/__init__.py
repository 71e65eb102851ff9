"""What each provider's data is worth to a model: Shapley values by unlearning.

Importable without Prefect, DVC or Great Expectations. What is exported here is the public API;
names are resolved when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from unshapley import environment as environment  # first: it hashes the sources that run

if TYPE_CHECKING:
    from unshapley.api.importing import import_model
    from unshapley.api.result import Result
    from unshapley.api.value import value
    from unshapley.config import Params, load_params
    from unshapley.data.preparation import prepare
    from unshapley.errors import (
        AlteredError,
        BusyError,
        InputError,
        UncheckableError,
        UnshapleyError,
        UntrustedError,
        ValidationError,
        ValuationWarning,
    )
    from unshapley.estimators import Estimate, Estimator, Plan, make_plan
    from unshapley.fidelity.gate import Fidelity, check_fidelity
    from unshapley.game.game import Game
    from unshapley.game.loading import load_game
    from unshapley.game.measuring import Measured, measure, measure_batch, measure_endpoints
    from unshapley.game.pretraining import pretrain
    from unshapley.game.utilities import build_utilities
    from unshapley.game.utility import Utility
    from unshapley.new_project import init_project
    from unshapley.project import Project
    from unshapley.results.valuation import estimate_values
    from unshapley.unlearning import Unlearner, build_unlearner

__all__ = [
    "AlteredError",
    "BusyError",
    "Estimate",
    "Estimator",
    "Fidelity",
    "Game",
    "InputError",
    "Measured",
    "Params",
    "Plan",
    "Project",
    "Result",
    "UncheckableError",
    "Unlearner",
    "UnshapleyError",
    "UntrustedError",
    "Utility",
    "ValidationError",
    "ValuationWarning",
    "build_unlearner",
    "build_utilities",
    "check_fidelity",
    "estimate_values",
    "import_model",
    "init_project",
    "load_game",
    "load_params",
    "make_plan",
    "measure",
    "measure_batch",
    "measure_endpoints",
    "prepare",
    "pretrain",
    "value",
]

_MODULES = {
    "api.importing": ("import_model",),
    "api.result": ("Result",),
    "api.value": ("value",),
    "config": ("Params", "load_params"),
    "data.preparation": ("prepare",),
    "errors": (
        "AlteredError",
        "BusyError",
        "InputError",
        "UncheckableError",
        "UnshapleyError",
        "UntrustedError",
        "ValidationError",
        "ValuationWarning",
    ),
    "estimators": ("Estimate", "Estimator", "Plan", "make_plan"),
    "fidelity.gate": ("Fidelity", "check_fidelity"),
    "game.game": ("Game",),
    "game.loading": ("load_game",),
    "game.measuring": ("Measured", "measure", "measure_batch", "measure_endpoints"),
    "game.pretraining": ("pretrain",),
    "game.utilities": ("build_utilities",),
    "game.utility": ("Utility",),
    "new_project": ("init_project",),
    "project": ("Project",),
    "results.valuation": ("estimate_values",),
    "unlearning": ("Unlearner", "build_unlearner"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


if not TYPE_CHECKING:  # a type checker is to see what is missing

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module 'unshapley' has no attribute {name!r}")
        return getattr(importlib.import_module(f"unshapley.{_MODULE_OF[name]}"), name)
