"""`unshapley.value`: what each provider's rows are worth to a model, in one call."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from torch import Tensor, nn

from unshapley.api.adopting import Adopted, adopt_game
from unshapley.api.bars import bars
from unshapley.api.games import train_game
from unshapley.api.result import Result
from unshapley.api.settings import Stated, settings_of, states_recipe
from unshapley.api.tables import Tables, read_tables
from unshapley.api.texts import read_texts
from unshapley.config import Params
from unshapley.data.tables import TEXT
from unshapley.environment import check_numerics
from unshapley.errors import InputError, ValuationWarning
from unshapley.game.loading import check_players
from unshapley.game.utilities import build_utilities
from unshapley.models.converted import Converted
from unshapley.models.own_tokens import check_base
from unshapley.models.scikit import converted, is_estimator
from unshapley.progress import Phases, silent_phases
from unshapley.unlearning import build_unlearner
from unshapley.unlearning.hybrid import HybridUnlearner
from unshapley.unlearning.retrain import RetrainUnlearner, no_recipe
from unshapley.valuing.assembling import value_game
from unshapley.valuing.checks import check_defined, check_parameters, check_plan, check_targets
from unshapley.valuing.in_process import InProcess

Table = Any
"""Rows: a pandas DataFrame with the label as a column, a pair (x, y) of arrays, tensors or a frame
and its labels, or a torch Dataset (also an IterableDataset) or DataLoader of such pairs."""
Model = nn.Module | Callable[..., nn.Module] | str | Any | None
Score = str | Callable[..., float]
"""A utility by name, or a function f(y_true, y_score) of the user's own, higher is better."""
Task = Literal["classification", "regression", "language-model"]


def value(
    model: Model,
    data: Mapping[str, Table] | pd.DataFrame,
    *,
    test: Table = None,
    reference: Table = None,
    label: str = "label",
    utility: Score | Sequence[Score] | None = None,
    task: Task = "classification",
    initial: Mapping[str, Tensor] | None = None,
    params: Stated = None,
    progress: bool = False,
) -> Result:
    """Value every provider's rows: the numbers that `unshapley run` gives for the same rows.

    Nothing is written, and nothing of this process is left changed. What speaks against believing
    the values is in `Result.warnings`, and is warned of as `ValuationWarning`.

    Args:
        model: a trained module, which is taken as it is; where `params` states `pretrain`, that is
            how it was trained, else nothing can be retrained and the values stay `unchecked`. A
            function or class, or its import path 'package.module:name', called with `in_features`,
            `classes` and `pretrain.kwargs`, gives a module that is trained here. A fitted linear
            model or multi-layer perceptron of scikit-learn, also in a Pipeline with a scaler, is
            taken as the module that it is. None trains the network that `params.pretrain` names, by
            default a small one, for text a small GPT.
        data: rows by provider: pandas frames of numbers with the label as a column, pairs (x, y) of
            arrays or tensors, or torch datasets and loaders, which are read once. The labels of a
            trained module are the numbers of its outputs. Of a language model lists of texts, a
            document each, or one frame with the columns `provider` and `text`.
        test: rows by which models are judged, from a source that you trust; None draws
            `prepare.test_share` of every provider's rows, which is warned of.
        reference: rows that are neither trained on nor judged by, which scale inputs and serve
            regularisers; None draws `prepare.reference_share` of every provider's rows.
        label: name of the label column.
        utility: what is divided among the providers; of several names the first, the others are
            measured beside it. None: that of `params`, by default neg_log_loss or neg_mse.
        task: whether the label is a class or a number, or rows are text for a language model.
        initial: state_dict of a trained module before it was trained, which gives U(none); None
            draws new weights.
        params: all else, as params.yaml states it: {"valuation": {"budget": 200}}.
        progress: show bars of what is trained and measured.

    Raises:
        InputError: for rows, parameters or a model that cannot be used.
        UnshapleyError: where models diverge.

    Method: "Losing is for Cherishing: Data Valuation Based on Machine Unlearning and Shapley Value"
    (2025).

    """
    estimator = converted(model) if is_estimator(model) else None
    if estimator is not None:
        model = estimator.module()
    given = {"test": test is not None, "reference": reference is not None}
    settings = settings_of(params, model, utility, label, task, given)
    check_numerics(settings.valuation.numerics)
    check_parameters(settings)
    check_base(settings, Path())
    adopted = _adopted(model, initial, params, settings, estimator)
    if task == TEXT:
        tables = read_texts(data, test, reference, settings.prepare)
    else:
        tables = read_tables(data, test, reference, settings.prepare, scale_label=adopted is None)
    result = _value(tables, settings, adopted, bars if progress else silent_phases)
    for warning in result.warnings:
        warnings.warn(warning, ValuationWarning, stacklevel=2)
    return result


def _adopted(
    model: Model,
    initial: Mapping[str, Tensor] | None,
    params: Stated,
    settings: Params,
    estimator: Converted | None,
) -> Adopted | None:
    """The trained module, if one was given."""
    if not isinstance(model, nn.Module):
        if initial is not None:
            raise InputError(
                "belongs to a module that was trained elsewhere", where="initial", do="leave it out"
            )
        return None
    adopted = Adopted(model, initial, states_recipe(params), estimator)
    unlearner = build_unlearner(settings.valuation.unlearner, settings.valuation.options)
    if isinstance(unlearner, RetrainUnlearner | HybridUnlearner) and not adopted.recipe_known:
        raise no_recipe(unlearner.name)
    return adopted


def _value(tables: Tables, params: Params, adopted: Adopted | None, phases: Phases) -> Result:
    settings = params.valuation
    providers = tuple(tables.partitions)
    check_targets(settings.targets, providers)
    check_plan(params, providers)
    check_defined(build_utilities(settings.utilities, tables.schema.task), tables.test[1])
    players = tuple(sorted(settings.targets)) or providers
    check_players(players, providers)
    findings: list[str] = []
    unlearner = build_unlearner(settings.unlearner, settings.options)
    if adopted is None:
        game = train_game(tables, params, players, unlearner.needs, phases)
    else:
        game, findings = adopt_game(adopted, tables, params, players, unlearner.needs)
    valuation = value_game(InProcess(params, phases), game, unlearner, {})
    return Result(valuation, params, game, (*tables.findings, *findings))
