"""Everything a valuation reads, loaded and checked against the model's record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unshapley.coalitions import Coalitions
from unshapley.errors import InputError
from unshapley.files import sha256
from unshapley.modelstore import ModelRecord, load_files
from unshapley.pretraining import read_rows, tensors
from unshapley.project import Project
from unshapley.rows import Schema
from unshapley.training import batched_logits, deterministic
from unshapley.unlearning import Pretrained, TrainingRows
from unshapley.utilities import evaluate


@dataclass(frozen=True)
class Inputs:
    """A loaded game.

    players: providers that are valued, in provider order; providers: all in the model, of whom
    those that are no players always stay; rows: number of training rows by provider.
    """

    players: tuple[str, ...]
    providers: tuple[str, ...]
    rows: dict[str, int]
    pretrained: Pretrained
    record: ModelRecord
    test_x: Tensor
    test_y: Tensor

    def staying(self, coalitions: Coalitions) -> Tensor:
        """Who stays among all providers in the model `(m, providers)`, of players' `(m, n)`."""
        out = np.ones((len(coalitions), len(self.providers)), dtype=bool)
        out[:, [self.providers.index(p) for p in self.players]] = coalitions
        return torch.from_numpy(out)


def load_inputs(project: Project, players: tuple[str, ...]) -> Inputs:
    """Load model, rows and test set of a project.

    Raises `InputError` where a file is missing, damaged, not the recorded one, or does not fit, and
    where the model does not reach its recorded score on the test set.
    """
    deterministic()
    schema = Schema.load(project.schema)
    record = ModelRecord.load(project.model)
    model, trained, initial, statistics = load_files(project.model, record)
    providers = tuple(sorted(record.partitions))
    _check_players(players, providers)
    if len(schema.features) != record.in_features:
        raise InputError(
            f"the model takes {record.in_features} features, the data has {len(schema.features)}",
            where=project.model / "model.json",
            do="pretrain again on this data",
        )
    rows = _training_rows(project, schema, record, providers)
    test_x, test_y = tensors(project, schema, "test")
    if sha256(project.test) != record.test:
        raise _other_data(project, "test")
    if sha256(project.reference) != record.reference:
        raise _other_data(project, "reference")
    pretrained = Pretrained(model, trained, initial, statistics, rows, record.recipe)
    counts = torch.bincount(rows.owner, minlength=len(providers)).tolist()
    inputs = Inputs(
        players,
        providers,
        dict(zip(providers, counts, strict=True)),
        pretrained,
        record,
        test_x,
        test_y,
    )
    _check_score(inputs, project)
    return inputs


def _training_rows(
    project: Project, schema: Schema, record: ModelRecord, providers: tuple[str, ...]
) -> TrainingRows:
    xs, ys, owners = [], [], []
    for index, provider in enumerate(providers):
        path = project.partition(provider)
        if not path.is_file():
            raise InputError(
                f"partition of provider {provider!r} is missing",
                where=path,
                expected="every partition the model was trained on",
                do="restore it with `dvc checkout`, or pretrain without it",
            )
        if sha256(path) != record.partitions[provider]:
            raise InputError(
                f"partition of provider {provider!r} is not the one the model was trained on",
                where=path,
                expected=f"SHA-256 {record.partitions[provider][:12]}…",
                do="restore it with `dvc checkout`, or pretrain again",
            )
        x, y = read_rows(project, schema, provider)
        xs.append(x)
        ys.append(y)
        owners.append(torch.full((len(y),), index))
    return TrainingRows(torch.cat(xs), torch.cat(ys), torch.cat(owners))


def _check_players(players: tuple[str, ...], providers: tuple[str, ...]) -> None:
    if len(players) < 2:
        raise InputError(
            f"{len(players)} provider to value",
            expected="at least two",
            do="add partitions, or look at what was quarantined",
        )
    strangers = sorted(set(players) - set(providers))
    if strangers:
        raise InputError(
            f"the model was not trained on provider {strangers[0]!r}",
            do="pretrain again, or remove the partition",
        )


def _other_data(project: Project, name: str) -> InputError:
    return InputError(
        f"the {name} set is not the one recorded with the model",
        where=getattr(project, name),
        do="restore it with `dvc checkout`, or pretrain again",
    )


def _check_score(inputs: Inputs, project: Project, tolerance: float = 1e-4) -> None:
    """The model must reach its recorded utilities: it is pretrained, and on this task."""
    pretrained, recorded = inputs.pretrained, inputs.record.score
    batch = {n: t.unsqueeze(0) for n, t in pretrained.trained.items()}
    logits = batched_logits(pretrained.model, batch, {}, inputs.test_x)
    for name, values in evaluate(list(recorded), logits, inputs.test_y).items():
        if not abs(values[0] - recorded[name]) <= tolerance:
            raise InputError(
                f"the model's {name} on the test set is {values[0]:.6f}",
                where=project.model,
                expected=f"the recorded {recorded[name]:.6f}",
                do="pretrain again",
            )
