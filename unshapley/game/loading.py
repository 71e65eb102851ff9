"""Load everything that a valuation reads, and check it against the model's record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from unshapley.curvature.store import CurvatureRecord, files, load_curvature
from unshapley.curvature.text_store import holding, load_text_statistics
from unshapley.data.tables import Schema
from unshapley.errors import InputError
from unshapley.files import sha256
from unshapley.game.game import Game
from unshapley.game.statistics_use import left_out
from unshapley.game.test_sources import by_source
from unshapley.game.utilities import UTILITIES, build_utilities, evaluate
from unshapley.game.utility import Utility
from unshapley.models.pretrained import Pretrained
from unshapley.models.rows import read_set
from unshapley.models.store import CHECKPOINT, ModelRecord, load_files, read_recorded_rows
from unshapley.models.tokens import tokens_of
from unshapley.models.training_rows import TrainingRows
from unshapley.numerics import deterministic
from unshapley.project import Project


@dataclass(frozen=True)
class LoadedGame(Game):
    """A game that was loaded from a project.

    record: of the model; statistics: path and hash of every file of curvature statistics that was
    read; utilities: utilities to measure, the primary one first.
    """

    record: ModelRecord = field(kw_only=True)
    statistics: tuple[tuple[Path, str], ...] = ()
    utilities: tuple[Utility, ...] = ()

    @property
    def rows(self) -> dict[str, int]:
        """Number of training rows by provider."""
        return self.record.rows


@deterministic()
def load_game(
    project: Project,
    players: Sequence[str],
    needs: str | None = None,
    device: str = "cpu",
    utilities: Sequence[str] = (),
) -> LoadedGame:
    """Load model, rows and test set of a project, and the statistics if an unlearner `needs` them.

    utilities: names of the utilities to measure. Rows of providers that are not players may be
    absent from the disk; those that exist are read. Raises `InputError` if a file is missing,
    damaged, not the recorded one or of the wrong shape, and if the model does not reach its
    recorded score on the test set.
    """
    schema = Schema.load(project.schema)
    record = ModelRecord.load(project.model)
    schema = record.seen_by_model(schema)
    model, trained, initial, rewind = load_files(project.model, record)
    providers = tuple(sorted(record.partitions))
    check_players(players, providers, record.again)
    _check_shape(project, schema, record)
    for name in ("test", "reference"):
        if sha256(getattr(project, name)) != getattr(record, name):
            raise _other_data(project, name, record.again)
    test, reference = (read_set(project, schema, name) for name in ("test", "reference"))
    pretrained = Pretrained(
        model=model,
        trained=trained,
        initial=initial,
        rewind=rewind,
        recipe=record.recipe,
        counts=torch.tensor([record.rows[provider] for provider in providers]),
        rows=_training_rows(project, schema, record, providers, players),
        reference=reference,
        noise=record.noise,
        test=test,
        recipe_known=record.recipe_known,
        initialise=record.initialise(trained),
    )
    statistics: dict[Path, str] = {}
    if needs in ("curvature", "features") and not left_out(project, record):
        pretrained = _with_statistics(project, pretrained, record, providers)
        statistics = files(project.curvature, CurvatureRecord.load(project.curvature))
        statistics[project.curvature / "curvature.json"] = sha256(
            project.curvature / "curvature.json"
        )
    read = tuple(statistics.items())
    game = as_game(pretrained.to(device), schema, record, players, utilities, read)
    _check_score(game, project)
    return game


def _with_statistics(
    project: Project, pretrained: Pretrained, record: ModelRecord, providers: Sequence[str]
) -> Pretrained:
    hashes = {provider: record.partitions[provider] for provider in providers}
    folder, checkpoint = project.curvature, record.files[CHECKPOINT]
    if record.text:
        kronecker, ngrams = load_text_statistics(folder, checkpoint, record.test, hashes)
        return holding(pretrained, kronecker, ngrams)
    curvature, features = load_curvature(folder, checkpoint, hashes)
    curvature = replace(curvature, rows=pretrained.counts.double())
    return replace(pretrained, curvature=curvature, features=features)


def as_game(
    pretrained: Pretrained,
    schema: Schema,
    record: ModelRecord,
    players: Sequence[str],
    utilities: Sequence[str],
    statistics: tuple[tuple[Path, str], ...] = (),
) -> LoadedGame:
    """The game of a model that holds its test set; arguments as in `LoadedGame`."""
    assert pretrained.test is not None
    test_y = pretrained.test[1]
    per_token = (
        schema.test_bytes / max(1.0, float(tokens_of(test_y).sum())) if record.text else None
    )
    measured = build_utilities(utilities, schema.task, per_token)
    for utility in measured:
        if utility.asks:
            utility.check_defined(test_y)
    return LoadedGame(
        players=tuple(players),
        providers=tuple(sorted(record.partitions)),
        pretrained=pretrained,
        test_x=pretrained.test[0],
        test_y=test_y,
        label_mean=schema.label_mean,
        label_scale=schema.label_scale,
        classes=schema.classes,
        record=record,
        statistics=statistics,
        utilities=(
            *measured[:1],
            *(by_source(measured[0], record.test_sources, test_y) if measured else ()),
            *measured[1:],
        ),
    )


def _training_rows(
    project: Project,
    schema: Schema,
    record: ModelRecord,
    providers: Sequence[str],
    players: Sequence[str],
) -> TrainingRows:
    xs, ys, owners = [], [], []
    for index, provider in enumerate(providers):
        path = project.partition(provider)
        if not path.is_file():
            if provider not in players:
                continue
            raise InputError(
                f"partition of provider {provider!r} is missing",
                where=path,
                expected="the partition of every provider that is valued",
                do="restore it with `dvc checkout`, or name others in valuation.targets",
            )
        x, y = read_recorded_rows(project, schema, record, provider)
        xs.append(x)
        ys.append(y)
        owners.append(torch.full((len(y),), index))
    return TrainingRows(torch.cat(xs), torch.cat(ys), torch.cat(owners))


def check_players(
    players: Sequence[str], providers: Sequence[str], again: str = "pretrain again"
) -> None:
    """Raise `InputError` for fewer than two players, and for one that is none of the providers."""
    if len(players) < 2:
        raise InputError(
            f"{len(players)} provider to value",
            expected="at least two",
            do="add partitions, or look at what was quarantined",
        )
    unknown = sorted(set(players) - set(providers))
    if unknown:
        raise InputError(
            f"the model was not trained on provider {unknown[0]!r}",
            expected=f"providers of the model: {', '.join(providers)}",
            do=f"{again}, or remove the partition",
        )


def _check_shape(project: Project, schema: Schema, record: ModelRecord) -> None:
    data_shape = (schema.inputs, schema.outputs)
    if data_shape != (record.in_features, record.classes):
        raise InputError(
            f"the model takes {record.in_features} features and has {record.classes} outputs, "
            f"the data has {data_shape[0]} features and needs {data_shape[1]}",
            where=project.model / "model.json",
            do=f"{record.again}, for this data",
        )


def _other_data(project: Project, name: str, again: str) -> InputError:
    return InputError(
        f"the {name} set is not the one recorded with the model",
        where=getattr(project, name),
        do=f"restore it with `dvc checkout`, or {again}",
    )


def _check_score(game: LoadedGame, project: Project, tolerance: float = 1e-4) -> None:
    """Raise `InputError` unless the model reaches its recorded utilities on the test set."""
    # accuracy may change by one row on another machine, so it is compared only if nothing else is
    score = game.record.score
    smooth = {n: value for n, value in score.items() if n.startswith(("neg_", "log_"))}
    recorded = smooth or score
    batch = {name: tensor.unsqueeze(0) for name, tensor in game.pretrained.trained.items()}
    outputs, y = game.outputs(batch)
    for name, values in evaluate([UTILITIES[name] for name in recorded], outputs, y).items():
        if not abs(values[0] - recorded[name]) <= tolerance * max(1.0, abs(recorded[name])):
            raise InputError(
                f"the model's {name} on the test set is {values[0]:.6f}",
                where=project.model,
                expected=f"the recorded {recorded[name]:.6f}",
                do=game.record.again,
            )
