"""What each provider's data is worth to a model: Shapley values by unlearning.

Importable without Prefect, DVC or Great Expectations. What is exported here is the public API;
names are resolved when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

from unshapley import environment as environment  # first: it hashes the sources that run

_EXPORTS = {
    "BusyError": "errors",
    "InputError": "errors",
    "UnshapleyError": "errors",
    "UntrustedError": "errors",
    "ValidationError": "errors",
    "Params": "config",
    "load_params": "config",
    "Project": "project",
    "prepare": "data.preparation",
    "pretrain": "game.pretraining",
    "load_game": "game.loading",
    "measure": "game.measuring",
    "measure_endpoints": "game.measuring",
    "build_unlearner": "unlearning",
    "make_plan": "estimators",
    "estimate_values": "results.valuation",
    "check_fidelity": "fidelity.gate",
}

__all__ = sorted(_EXPORTS)  # noqa: PLE0605 (a list of strings, whatever ruff can see)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'unshapley' has no attribute {name!r}")
    return getattr(importlib.import_module(f"unshapley.{_EXPORTS[name]}"), name)
