"""Pretrain the model that is valued, and store beside it what valuation needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from unshapley.config import Params
from unshapley.errors import InputError
from unshapley.files import sha256
from unshapley.models import build, source_of
from unshapley.modelstore import ModelRecord, save_files
from unshapley.project import Project
from unshapley.rows import Schema, read_table, to_arrays
from unshapley.statistics import HeadStatistics, head_statistics
from unshapley.training import batched_logits, deterministic, stack, train
from unshapley.utilities import UTILITIES, evaluate


def pretrain(
    project: Project, params: Params, providers: Sequence[str], quarantined: Mapping[str, str]
) -> ModelRecord:
    """Train on the partitions of `providers`, write data/model, give its record."""
    deterministic()
    recipe = params.pretrain
    schema = Schema.load(project.schema)
    partitions = {p: read_rows(project, schema, p) for p in providers}
    if not partitions:
        raise InputError("no provider is left to train on", where=project.partitions)
    x = torch.cat([rows[0] for rows in partitions.values()])
    y = torch.cat([rows[1] for rows in partitions.values()])
    model = build(
        recipe.architecture,
        in_features=len(schema.features),
        classes=len(schema.classes),
        kwargs=recipe.kwargs,
        seed=recipe.seed,
    )
    standardise = getattr(model, "standardise", None)
    if callable(standardise):
        standardise(tensors(project, schema, "reference")[0])
    initial = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trained = train(
        model,
        stack(initial, 1),
        x.unsqueeze(0),
        y.unsqueeze(0),
        torch.ones(1, len(x)),
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
    )
    final = {**initial, **{name: tensor[0] for name, tensor in trained.items()}}
    model.load_state_dict(final)
    statistics = _statistics(model, partitions)
    test_x, test_y = tensors(project, schema, "test")
    score = evaluate(list(UTILITIES), batched_logits(model, trained, final, test_x), test_y)
    if not all(map(math.isfinite, (value for values in score.values() for value in values))):
        raise InputError(
            f"training diverged: the model's scores are {score}",
            where="pretrain",
            do="lower pretrain.learning_rate",
        )
    record = ModelRecord(
        recipe=recipe,
        architecture_source=source_of(recipe.architecture),
        in_features=len(schema.features),
        classes=len(schema.classes),
        partitions={p: sha256(project.partition(p)) for p in providers},
        quarantined=dict(quarantined),
        test=sha256(project.test),
        reference=sha256(project.reference),
        files=save_files(project.model, final, initial, statistics),
        layer=statistics.layer if statistics else None,
        score={name: values[0] for name, values in score.items()},
    )
    record.save(project.model)
    return record


def read_rows(project: Project, schema: Schema, provider: str) -> tuple[Tensor, Tensor]:
    """Training rows of a provider, `(rows, features)` and `(rows,)`."""
    path = project.partition(provider)
    x, y = to_arrays(read_table(path), schema, path)
    return torch.from_numpy(x), torch.from_numpy(y)


def tensors(project: Project, schema: Schema, name: str) -> tuple[Tensor, Tensor]:
    """The `test` or `reference` set, `(rows, features)` and `(rows,)`."""
    path = {"test": project.test, "reference": project.reference}[name]
    x, y = to_arrays(read_table(path), schema, path)
    return torch.from_numpy(x), torch.from_numpy(y)


def _statistics(
    model: torch.nn.Module, partitions: Mapping[str, tuple[Tensor, Tensor]]
) -> HeadStatistics | None:
    """Statistics of the last layer, or none for a model that has no such layer."""
    try:
        return head_statistics(model, partitions)
    except InputError:
        return None
