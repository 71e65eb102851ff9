"""Checks before anything is computed: all that params.yaml, schema and files show.

Every command calls `preflight` for what it is about to do; each step includes the checks of those
before it, so that nothing that is known at the beginning is told at the end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from enum import IntEnum

import pandas as pd
import torch

from flows.runtime.clusters import check_cluster
from tasks.expectations.suites import check_columns, check_suites
from tasks.expectations.validation import check_complete
from unshapley.config import Params
from unshapley.curvature.store import CurvatureRecord, check_settings
from unshapley.data.preparation import check_prepared
from unshapley.data.tables import TEXT, Schema, read_table
from unshapley.data.tokenizing import stored
from unshapley.environment import check_numerics
from unshapley.errors import InputError
from unshapley.fidelity.gate import NO_RECIPE, ROWS_ABSENT
from unshapley.game.statistics_use import check_statistics, statistics_are_read
from unshapley.game.utilities import build_utilities
from unshapley.models.building import build
from unshapley.models.huggingface import folder_of
from unshapley.models.own_tokens import check_base, check_tokens, is_based
from unshapley.models.rows import read_set
from unshapley.models.store import ModelRecord
from unshapley.project import Project
from unshapley.unlearning import Unlearner, build_unlearner
from unshapley.unlearning.auto import AutoUnlearner
from unshapley.unlearning.base import out_of_reach
from unshapley.unlearning.hybrid import HybridUnlearner
from unshapley.unlearning.retrain import RetrainUnlearner, no_recipe
from unshapley.valuing.checks import check_defined, check_parameters, check_plan, check_targets


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
    if step is Step.RUN:
        check_cluster(params.run)
    if step <= Step.PREPARE:
        check_base(params, project.root)
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
    if schema.tokenizer:
        stored(project.tokenizer, schema)
        if is_based(params):
            check_tokens(folder_of(params.pretrain.kwargs), project.tokenizer)
    if step >= Step.VALIDATE:
        check_suites(project.expectations, params.validation, schema)
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
    absent, record = _absent(project), ModelRecord.load(project.model)
    if params.fidelity.publish_unchecked:
        return
    if absent:
        yield f"{ROWS_ABSENT}: the values will go to data/untrusted"
    elif not record.recipe_known:
        yield f"{NO_RECIPE}: the values will go to data/untrusted"
    elif not params.fidelity.coalitions and not params.correction.coalitions:
        yield (
            "fidelity.coalitions is 0: unless unlearning retrains every coalition, the values will "
            "go to data/untrusted"
        )


def check_architecture(params: Params, schema: Schema) -> None:
    """Raise `InputError` if the architecture cannot be built, or does not fit the tables."""
    recipe = params.pretrain
    build(
        recipe.architecture,
        in_features=schema.inputs,
        classes=schema.outputs,
        kwargs=recipe.kwargs,
        seed=recipe.seed,
        text=schema.task == TEXT,
    )


def check_labels(project: Project, params: Params, schema: Schema) -> None:
    """Raise `InputError` for a utility that the labels of the test set do not define."""
    utilities = build_utilities(params.valuation.utilities, schema.task)
    if any(utility.asks for utility in utilities):
        check_defined(utilities, read_set(project, schema, "test")[1])
    if any(utility.varied for utility in utilities):  # else no table need be read
        labels = read_table(project.test).get(schema.label, pd.Series(dtype=float))
        y = torch.tensor(pd.to_numeric(labels, errors="coerce").to_numpy(dtype=float))
        check_defined(utilities, y)


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
    record = ModelRecord.load(project.model)
    if statistics_are_read(params.valuation, record):
        check_statistics(project, record, unlearner.name)
    if not record.recipe_known and isinstance(unlearner, RetrainUnlearner | HybridUnlearner):
        raise no_recipe(unlearner.name)
    if not record.is_of(params.pretrain):
        again = "run `unshapley pretrain` (or `dvc repro`)"
        raise InputError(
            "the model was trained with another recipe than params.yaml states under pretrain",
            where=project.model / "model.json",
            do=f"{again if record.imported is None else record.again}, or restore params.yaml",
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
