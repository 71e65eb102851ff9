"""The parameters of a call: what its arguments state, beside what `params` states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from unshapley.config import FaultSettings, Params, parse_params
from unshapley.data.starting_text import LANGUAGE_MODEL
from unshapley.data.tables import TEXT
from unshapley.errors import InputError
from unshapley.extensions import path_of
from unshapley.game.utilities import EXAMPLES

SECTIONS = ("prepare", "pretrain", "valuation")
"""Sections that the arguments decide on too."""
IN_MEMORY = "(in memory)"
"""In place of the name of a set's file."""
Stated = Params | Mapping[str, Any] | None


def states_recipe(params: Stated) -> bool:
    """Whether they say how a model is trained."""
    return isinstance(params, Params) or "pretrain" in (params or {})


def settings_of(
    params: Stated, model: Any, utility: Any, label: str, task: str, given: Mapping[str, bool]
) -> Params:
    """All parameters; `InputError` for what they do not know, or cannot be in memory.

    given: whether the test and the reference set are arguments.
    """
    stated = params.model_dump() if isinstance(params, Params) else dict(params or {})
    prepare, pretrain, valuation = (_section(stated, name) for name in SECTIONS)
    prepare |= {"label": label, "task": task, **_sets(prepare, given)}
    if isinstance(model, nn.Module):
        kind = type(model)
        pretrain["architecture"] = f"{kind.__module__}:{kind.__qualname__}"
        if not states_recipe(params):
            pretrain["weight_decay"] = 0.0  # no penalty is known of
    elif model is not None:
        pretrain["architecture"] = _path(model, "architecture", "model")
    elif task == TEXT and "architecture" not in pretrain:
        pretrain = {**LANGUAGE_MODEL, **pretrain}
    if utility is not None:
        scores = [utility] if isinstance(utility, str) or callable(utility) else utility
        valuation["utilities"] = [_path(score, "utility", "utility") for score in scores]
    valuation.setdefault("utilities", list(EXAMPLES.get(task, ())))
    changed = dict(zip(SECTIONS, (prepare, pretrain, valuation), strict=True))
    settings = parse_params({**stated, **changed}, where="params")
    _check_in_memory(settings)
    return settings


def _section(stated: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = stated.get(name, {})
    if not isinstance(section, Mapping):
        raise InputError(f"{name} = {section!r}", where="params", expected="a dictionary")
    return dict(section)


def _sets(prepare: Mapping[str, Any], given: Mapping[str, bool]) -> dict[str, str | None]:
    for name, in_memory in given.items():
        if not in_memory and prepare.get(name):
            raise InputError(
                f"names the file {prepare[name]!r}",
                where=f"params.prepare.{name}",
                do=f"give its rows as `{name}`",
            )
    return {name: IN_MEMORY if in_memory else None for name, in_memory in given.items()}


def _path(named: Any, what: str, where: str) -> str:
    """A name as it is, an object by its import path."""
    return named if isinstance(named, str) else path_of(named, what, where)


def _check_in_memory(settings: Params) -> None:
    """Raise `InputError` for what only files have."""
    if settings.prepare.provider is not None:
        raise InputError(
            "the keys of `data` name the providers",
            where="params.prepare.provider",
            do="leave it out: data = {name: part.drop(columns=column) for name, part in "
            "frame.groupby(column)}",
        )
    if settings.prepare.transform is not None:
        raise InputError(
            "tables in memory are taken as they are",
            where="params.prepare.transform",
            do="call the function on each table before",
        )
    if settings.faults != FaultSettings():
        raise InputError(
            "faults are planted by `unshapley prepare` alone",
            where="params.faults",
            do="plant them into the rows that you give",
        )
