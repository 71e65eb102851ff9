"""The pretrain stage: train the model that is valued, and store what valuation needs."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence

import torch

from unshapley.config import Params, PretrainSettings
from unshapley.curvature.renewing import write_statistics
from unshapley.curvature.store import leave_out
from unshapley.data.tables import TEXT, Schema
from unshapley.errors import InputError
from unshapley.files import sha256
from unshapley.game.constants import constant_scores
from unshapley.game.game import Game
from unshapley.game.statistics_use import statistics_are_read
from unshapley.game.utilities import build_utilities, evaluate, scores_of
from unshapley.models.building import source_of_architecture
from unshapley.models.convergence import convergence_of
from unshapley.models.fitting import fit
from unshapley.models.pretrained import Pretrained
from unshapley.models.rows import Rows, read_rows, read_set
from unshapley.models.store import CHECKPOINT, ModelRecord, save_files
from unshapley.numerics import deterministic
from unshapley.progress import Phases, silent_phases
from unshapley.project import Project

log = logging.getLogger("unshapley.pretrain")


def pretrain(
    project: Project,
    params: Params,
    providers: Sequence[str],
    quarantined: Mapping[str, str],
    phases: Phases = silent_phases,
) -> ModelRecord:
    """Train on the partitions of `providers`, write data/model and data/curvature, give the
    model's record.
    """
    schema = Schema.load(project.schema)
    partitions = {p: read_rows(project, schema, p) for p in providers}
    reference, test = (read_set(project, schema, name) for name in ("reference", "test"))
    pretrained, score = train_model(params.pretrain, schema, partitions, reference, test, phases)
    assert pretrained.rewind is not None
    hashes = {p: sha256(project.partition(p)) for p in providers}
    files = save_files(project.model, pretrained.trained, pretrained.initial, pretrained.rewind)
    sets = sha256(project.test), sha256(project.reference)
    record = record_of(pretrained, schema, score, hashes, sets, files, quarantined)
    record.save(project.model)
    write_statistics_of(project, params, pretrained, record, partitions, test, phases)
    return record


def write_statistics_of(
    project: Project,
    params: Params,
    pretrained: Pretrained,
    record: ModelRecord,
    partitions: Mapping[str, Rows],
    test: Rows,
    phases: Phases,
) -> None:
    """Write data/curvature of a model that is recorded; partitions: rows by provider. Where no
    coalition would read it, only that is recorded.
    """
    if not statistics_are_read(params.valuation, record):
        leave_out(project.curvature, params.curvature, record.files[CHECKPOINT])
        return
    write_statistics(
        project,
        params.curvature,
        record,
        (pretrained.model, pretrained.trained, pretrained.initial),
        test,
        {p: (rows, record.partitions[p]) for p, rows in partitions.items()},
        progress=phases("statistics", "passes over a provider's rows"),
    )


def train_model(
    recipe: PretrainSettings,
    schema: Schema,
    partitions: Mapping[str, Rows],
    reference: Rows,
    test: Rows,
    phases: Phases = silent_phases,
) -> tuple[Pretrained, dict[str, float]]:
    """The model of a recipe, and its utilities on the test set; `InputError` if it diverged."""
    pretrained = fit(
        recipe,
        partitions,
        reference,
        outputs=schema.outputs,
        progress=phases("training", "steps"),
    )
    score = score_on_test(pretrained, schema, test)
    if schema.task == TEXT:
        _warn_if_unlearnt(pretrained, test, score)
    return pretrained, score


def _warn_if_unlearnt(pretrained: Pretrained, test: Rows, score: Mapping[str, float]) -> None:
    """Say so where a model of text predicts no better than the shares of the tokens alone, which
    comes of too little training or, for little text, of too much.
    """
    rows, name = pretrained.rows, "log_likelihood"
    some = torch.linspace(0, len(rows.y) - 1, min(len(rows.y), 4 * len(test[1]))).long()
    game = Game((), (), pretrained, rows.x[some], rows.y[some])
    utilities = build_utilities([name])
    known = evaluate(utilities, constant_scores(game, test[1]), test[1])[name][0]
    if score[name] > known:
        return
    outputs, y = game.outputs({n: t.unsqueeze(0) for n, t in pretrained.trained.items()})
    seen = evaluate(utilities, outputs, y)[name][0]
    by_heart = seen > evaluate(utilities, constant_scores(game, y), y)[name][0]
    why = "knows its training rows by heart" if by_heart else "has hardly learnt"
    do = "give more text, or lower" if by_heart else "raise"
    log.warning(
        "the model %s: %s %.4f on the test set, where the shares of the tokens alone, whatever "
        "their order, have %.4f; %s pretrain.steps or pretrain.learning_rate",
        *(why, name, score[name], known, do),
    )


def record_of(
    pretrained: Pretrained,
    schema: Schema,
    score: Mapping[str, float],
    partitions: Mapping[str, str],
    sets: tuple[str, str],
    files: Mapping[str, str],
    quarantined: Mapping[str, str],
    source: str | None = None,
) -> ModelRecord:
    """What is recorded of a model.

    partitions: hash of the rows of every provider that it was trained on, in their order; sets: of
    the test and of the reference set; files: of the weights; quarantined: reason by provider that
    was left out; source: hash of what defines it, where the recipe does not build it.
    """
    test, reference = sets
    counts = pretrained.counts.tolist()
    return ModelRecord(
        recipe=pretrained.recipe,
        architecture_source=source
        or source_of_architecture(pretrained.recipe.architecture, pretrained.recipe.kwargs),
        in_features=schema.inputs,
        classes=schema.outputs,
        partitions=dict(partitions),
        rows=dict(zip(partitions, counts, strict=True)),
        quarantined=dict(quarantined),
        test=test,
        reference=reference,
        files=dict(files),
        noise=pretrained.noise,
        score=dict(score),
        steps=pretrained.steps,
        convergence=convergence_of(pretrained),
        test_sources=schema.test_sources,
        text=schema.task == TEXT,
    )


@deterministic()
def score_on_test(pretrained: Pretrained, schema: Schema, test: Rows) -> dict[str, float]:
    """All utilities of the pretrained model that are one number; `InputError` if it diverged."""
    batch = {name: tensor.unsqueeze(0) for name, tensor in pretrained.trained.items()}
    game = Game((), (), pretrained, *test, schema.label_mean, schema.label_scale)
    outputs, y = game.outputs(batch)
    columns = evaluate(scores_of(schema.task, y), outputs, y)
    score = {name: values[0] for name, values in columns.items()}
    if not all(map(math.isfinite, score.values())):
        raise InputError(
            f"training diverged: the model's scores are {score}",
            where="pretrain",
            do="lower pretrain.learning_rate",
        )
    return score
