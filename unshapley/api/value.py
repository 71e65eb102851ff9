"""`unshapley.value`: what each provider's rows are worth to a model, in one call."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from unshapley.api.games import train_game
from unshapley.api.result import Result
from unshapley.api.tables import Tables, read_frames
from unshapley.config import FaultSettings, Params, parse_params
from unshapley.environment import check_numerics
from unshapley.errors import InputError, ValuationWarning
from unshapley.game.loading import check_players
from unshapley.game.utilities import EXAMPLES, build_utilities
from unshapley.progress import Phases, silent_phases
from unshapley.unlearning import build_unlearner
from unshapley.valuing.assembling import value_game
from unshapley.valuing.checks import check_defined, check_parameters, check_plan, check_targets
from unshapley.valuing.in_process import InProcess

Table = Any
"""Rows: a pandas DataFrame with the label as one of its columns."""
Task = Literal["classification", "regression"]


def value(
    model: None,
    data: Mapping[str, Table],
    *,
    test: Table = None,
    reference: Table = None,
    label: str = "label",
    utility: str | Sequence[str] | None = None,
    task: Task = "classification",
    params: Params | Mapping[str, Any] | None = None,
) -> Result:
    """Value every provider's rows: the numbers that `unshapley run` gives for the same rows.

    Nothing is written, and nothing of this process is left changed. What speaks against believing
    the values is in `Result.warnings`, and is warned of as `ValuationWarning`.

    Args:
        model: None trains the network that `params.pretrain` names, by default a small one.
        data: rows by provider, as pandas frames of numbers with the label as a column.
        test: rows by which models are judged, from a source that you trust; None draws
            `prepare.test_share` of every provider's rows, which is warned of.
        reference: rows that are neither trained on nor judged by, which scale inputs and serve
            regularisers; None draws `prepare.reference_share` of every provider's rows.
        label: name of the label column.
        utility: what is divided among the providers; of several names the first, the others are
            measured beside it. None: that of `params`, by default neg_log_loss or neg_mse.
        task: whether the label is a class or a number.
        params: all else, as params.yaml states it: {"valuation": {"budget": 200}}.

    Raises:
        InputError: for rows, parameters or a model that cannot be used.
        UnshapleyError: where models diverge.

    Method: "Losing is for Cherishing: Data Valuation Based on Machine Unlearning and Shapley Value"
    (2025).

    """
    if model is not None:
        raise InputError(f"is a {type(model).__name__}", where="model", expected="None")
    settings = _settings(params, label, utility, task)
    check_numerics(settings.valuation.numerics)
    check_parameters(settings)
    tables = read_frames(data, test, reference, settings.prepare)
    result = _value(tables, settings, silent_phases)
    for warning in result.warnings:
        warnings.warn(warning, ValuationWarning, stacklevel=2)
    return result


def _settings(
    params: Params | Mapping[str, Any] | None,
    label: str,
    utility: str | Sequence[str] | None,
    task: Task,
) -> Params:
    """The parameters with what the call states."""
    stated = params.model_dump() if isinstance(params, Params) else dict(params or {})
    prepare, valuation = (_section(stated, name) for name in ("prepare", "valuation"))
    prepare |= {"label": label, "task": task}
    if utility is not None:
        valuation["utilities"] = [utility] if isinstance(utility, str) else list(utility)
    valuation.setdefault("utilities", list(EXAMPLES[task]))
    settings = parse_params({**stated, "prepare": prepare, "valuation": valuation}, where="params")
    if settings.faults != FaultSettings():
        raise InputError(
            "faults are planted by `unshapley prepare` alone",
            where="params.faults",
            do="plant them into the rows that you give",
        )
    return settings


def _section(stated: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = stated.get(name, {})
    if not isinstance(section, Mapping):
        raise InputError(f"{name} = {section!r}", where="params", expected="a dictionary")
    return dict(section)


def _value(tables: Tables, params: Params, phases: Phases) -> Result:
    settings = params.valuation
    providers = tuple(tables.partitions)
    check_targets(settings.targets, providers)
    check_plan(params, providers)
    check_defined(build_utilities(settings.utilities, tables.schema.task), tables.test[1])
    players = tuple(sorted(settings.targets)) or providers
    check_players(players, providers)
    unlearner = build_unlearner(settings.unlearner, settings.options)
    game = train_game(tables, params, players, unlearner.needs, phases)
    valuation = value_game(InProcess(params, phases), game, unlearner, {})
    return Result(valuation, params, game, tables.findings)
