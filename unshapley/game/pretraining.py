"""The pretrain stage: train the model that is valued, and store what valuation needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from unshapley.config import Params
from unshapley.curvature.store import write_curvature
from unshapley.data.tables import Schema
from unshapley.errors import InputError
from unshapley.files import sha256
from unshapley.game.game import Game
from unshapley.game.utilities import evaluate, scores_of
from unshapley.models.building import source_of_architecture
from unshapley.models.convergence import convergence_of
from unshapley.models.fitting import fit
from unshapley.models.pretrained import Pretrained
from unshapley.models.rows import Rows, read_rows, read_set
from unshapley.models.store import CHECKPOINT, ModelRecord, save_files
from unshapley.numerics import deterministic
from unshapley.progress import Phases, silent_phases
from unshapley.project import Project


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
    pretrained = fit(
        params.pretrain,
        partitions,
        reference,
        outputs=schema.outputs,
        progress=phases("training", "steps"),
    )
    score = score_on_test(pretrained, schema, test)
    assert pretrained.rewind is not None
    hashes = {p: sha256(project.partition(p)) for p in providers}
    files = save_files(project.model, pretrained.trained, pretrained.initial, pretrained.rewind)
    record = ModelRecord(
        recipe=params.pretrain,
        architecture_source=source_of_architecture(params.pretrain.architecture),
        in_features=len(schema.features),
        classes=schema.outputs,
        partitions=hashes,
        rows={p: len(partitions[p][1]) for p in providers},
        quarantined=dict(quarantined),
        test=sha256(project.test),
        reference=sha256(project.reference),
        files=files,
        noise=pretrained.noise,
        score=score,
        steps=pretrained.steps,
        convergence=convergence_of(pretrained),
    )
    record.save(project.model)
    write_curvature(
        project.curvature,
        pretrained.model,
        pretrained.trained,
        pretrained.initial,
        params.curvature,
        files[CHECKPOINT],
        {p: (partitions[p], hashes[p]) for p in providers},
        progress=phases("statistics", "passes over a provider's rows"),
    )
    return record


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
