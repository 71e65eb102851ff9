"""Take a model that was trained elsewhere into a project, in place of pretraining."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from unshapley.config import Params, PretrainSettings
from unshapley.data.tables import TEXT, Schema
from unshapley.errors import InputError
from unshapley.files import sha256
from unshapley.game.adopting import adopt, fresh_words, misses
from unshapley.game.constants import CONSTANT_WORDS, constant_state
from unshapley.game.judging import ModelScore, better_order, score_model
from unshapley.game.loading import load_game
from unshapley.game.model_source import CONSTANT, Source
from unshapley.game.pretraining import record_of, write_statistics_of
from unshapley.models.batching import State
from unshapley.models.building import make, usable
from unshapley.models.checkpoints import kind_of, load_weights
from unshapley.models.fitting import with_buffers
from unshapley.models.huggingface_folders import ARCHITECTURE as OF_HUGGINGFACE
from unshapley.models.pretrained import Pretrained
from unshapley.models.rows import Rows, read_rows, read_set
from unshapley.models.store import ModelRecord, save_files
from unshapley.origin import Origin
from unshapley.progress import Phases, silent_phases
from unshapley.project import Project


@dataclass(frozen=True)
class Imported:
    """What was imported: its record, its scores, and what is to be known of it."""

    record: ModelRecord
    scores: list[ModelScore]
    notes: list[str]


def import_model(
    project: Project, params: Params, source: Source, phases: Phases = silent_phases
) -> Imported:
    """Write data/model and data/curvature of a model that was trained on the rows of all providers.

    Raises `InputError` for a file that is no model or runs code, one that does not fit the
    architecture or the tables, and a model no better than the best constant.
    """
    schema = Schema.load(project.schema)
    module, notes = _loaded(source, schema)
    partitions = {p: read_rows(project, _unscaled(schema), p) for p in project.providers()}
    reference, test = (read_set(project, _unscaled(schema), n) for n in ("reference", "test"))
    recipe = source.recipe(params.pretrain, sum(len(y) for _, y in partitions.values()))
    pretrained, initial = _adopted(module, source, recipe, schema, partitions, reference, test)
    scores = score_model(pretrained, _unscaled(schema))
    if not source.accept_score:
        _check_score(source, params, pretrained, schema, scores)
    record = _written(project, params, source, pretrained, schema, scores, initial)
    write_statistics_of(project, params, pretrained, record, partitions, test, phases)
    if source.recipe_known and len(partitions) > 1:
        utilities = params.valuation.utilities
        notes += misses(load_game(project, tuple(record.partitions), utilities=utilities))
    return Imported(record, scores, notes)


def _unscaled(schema: Schema) -> Schema:
    """Numeric labels in their own units, as a model that was trained elsewhere gives them."""
    return replace(schema, label_mean=0.0, label_scale=1.0)


def _loaded(source: Source, schema: Schema) -> tuple[nn.Module, list[str]]:
    """The module with its weights, as its author wrote it, and how these were altered to fit."""
    if isinstance(source.model, Path):
        kind_of(source.model)  # a missing file is told before an architecture
        module = _made(source, schema, source.seed)
        return module, load_weights(module, source.model)
    fitted = source.model.fitted_to(schema.features, schema.classes)
    module = _made(source, schema, source.seed)
    module.load_state_dict(fitted.state())
    return module, []


def _made(source: Source, schema: Schema, seed: int) -> nn.Module:
    return make(source.architecture, schema.inputs, schema.outputs, source.kwargs, seed)


def _adopted(
    module: nn.Module,
    source: Source,
    recipe: PretrainSettings,
    schema: Schema,
    partitions: Mapping[str, Rows],
    reference: Rows,
    test: Rows,
) -> tuple[Pretrained, str]:
    """The pretrained model, and what stands for U(none), in words."""

    def ready(module: nn.Module) -> nn.Module:
        text = schema.task == TEXT
        return usable(module, source.architecture, schema.inputs, schema.outputs, text=text)

    model = ready(module)
    trained = model.state_dict()

    def initialise(seed: int) -> State:
        return with_buffers(ready(_made(source, schema, seed)), trained)

    pretrained = adopt(
        model,
        initialise(source.seed),
        partitions,
        reference,
        recipe,
        recipe_known=source.recipe_known,
        initialise=initialise,
        test=test,
    )
    words = fresh_words(source.seed)
    if source.architecture == OF_HUGGINGFACE and source.kwargs.get("adapters") is not None:
        words = f"the base of the adapters, {Path(str(source.kwargs['folder'])).name}"
    if isinstance(source.initial, Path):
        first = _made(source, schema, source.seed)
        load_weights(first, source.initial)
        pretrained = replace(pretrained, initial=ready(first).state_dict())
        words = f"the weights before training in {source.initial.name}"
    elif source.initial == CONSTANT:
        pretrained = replace(pretrained, initial=constant_state(pretrained))
        words = CONSTANT_WORDS
    return pretrained, words


def _check_score(
    source: Source,
    params: Params,
    pretrained: Pretrained,
    schema: Schema,
    scores: list[ModelScore],
) -> None:
    """Raise `InputError` for a model that is no better than the best constant."""
    primary = params.valuation.utilities[0]
    score = next((s for s in scores if s.utility == primary), scores[0])
    if score.beats_constant:
        return
    reasons = "another order of columns or classes, and inputs that were scaled outside of it"
    do = "put the scaling into the module as buffers"
    if schema.task == TEXT:
        reasons, do = "another tokenizer", "set prepare.documents.tokenizer to the model's own"
    if order := better_order(pretrained, schema.classes):
        do = f"reorder its outputs: they suit the rows better as {', '.join(order)}"
    raise InputError(
        f"{score.utility} on the test set is {score.test:.4g}, on training rows "
        f"{score.training:.4g}; the best constant has {score.constant:.4g}",
        where=source.model if isinstance(source.model, Path) else "model",
        expected=f"a model trained on rows as data/schema.json states them: {_rows_as(schema)}; "
        f"usual reasons are {reasons}",
        do=f"{do}, or --accept-score if it is as bad as that",
    )


def _rows_as(schema: Schema) -> str:
    """Columns and classes in their order, shortened."""
    if schema.task == TEXT:
        return f"windows of {schema.context} tokens, by data/tokenizer.json"
    names = list(schema.features)
    shown = ", ".join(names if len(names) <= 6 else [*names[:4], "…", names[-1]])
    if schema.task == "regression":
        return f"columns {shown}, unscaled, and {schema.label} in its own units"
    return f"columns {shown}, unscaled, and outputs for {', '.join(schema.classes)}, in this order"


def _written(
    project: Project,
    params: Params,
    source: Source,
    pretrained: Pretrained,
    schema: Schema,
    scores: list[ModelScore],
    initial: str,
) -> ModelRecord:
    """Write data/model, its record last."""
    providers = project.providers()
    files = save_files(project.model, pretrained.trained, pretrained.initial, None)
    record = record_of(
        pretrained,
        schema,
        {score.utility: score.test for score in scores},
        {p: sha256(project.partition(p)) for p in providers},
        (sha256(project.test), sha256(project.reference)),
        files,
        {},
    )
    origin = Origin(
        name=source.name,
        sha256=source.sha256,
        kind=source.kind,
        initial=initial,
        recipe_known=source.recipe_known,
    )
    record = record.model_copy(update={"imported": origin})
    record.save(project.model)
    return record
