"""A game in memory: the model trained on tables, as `unshapley pretrain` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from unshapley.api.tables import Tables
from unshapley.config import Params
from unshapley.curvature.statistics import with_statistics
from unshapley.curvature.text_store import with_text_statistics
from unshapley.files import digest
from unshapley.game.loading import LoadedGame, as_game
from unshapley.game.pretraining import record_of, score_on_test, train_model
from unshapley.game.statistics_use import statistics_are_read
from unshapley.models.pretrained import Pretrained
from unshapley.models.rows import Rows
from unshapley.models.store import CHECKPOINT, INITIALISATION, REWIND
from unshapley.models.tensors import hash_of_state
from unshapley.origin import Origin
from unshapley.progress import Phases, silent_phases


def train_game(
    tables: Tables,
    params: Params,
    players: Sequence[str],
    needs: str | None,
    phases: Phases = silent_phases,
) -> LoadedGame:
    """Train the recipe's model, and compute the statistics that an unlearner `needs`.

    Raises `InputError` for an architecture that cannot be used, and where training diverges.
    """
    pretrained, score = train_model(
        params.pretrain, tables.schema, tables.partitions, tables.reference, tables.test, phases
    )
    return as_recorded(pretrained, tables, params, players, needs, score=score)


def as_recorded(
    pretrained: Pretrained,
    tables: Tables,
    params: Params,
    players: Sequence[str],
    needs: str | None,
    source: str | None = None,
    origin: Origin | None = None,
    score: Mapping[str, float] | None = None,
) -> LoadedGame:
    """The game of a model, with the record and the statistics that a project would store.

    source: hash of what defines the model, where the recipe does not build it; origin: where it
    comes from then; score: its utilities on the test set, if they are known.
    """
    schema, partitions = tables.schema, tables.partitions
    score = score or score_on_test(pretrained, schema, tables.test)
    weights = {
        CHECKPOINT: pretrained.trained,
        INITIALISATION: pretrained.initial,
        REWIND: pretrained.rewind,
    }
    files = {name: hash_of_state(state) for name, state in weights.items() if state is not None}
    hashes = {name: _hash_of_rows(rows) for name, rows in partitions.items()}
    sets = _hash_of_rows(tables.test), _hash_of_rows(tables.reference)
    record = record_of(pretrained, schema, score, hashes, sets, files, {}, source)
    record = record.model_copy(update={"imported": origin})
    pretrained = replace(pretrained, test=tables.test)
    statistics: tuple[tuple[Path, str], ...] = ()
    if needs in ("curvature", "features") and statistics_are_read(params.valuation, record):
        if record.text:
            pretrained = with_text_statistics(pretrained, partitions)
        else:
            pretrained = with_statistics(pretrained, partitions, params.curvature)
        settings = params.curvature.model_dump(mode="json")
        statistics = ((Path("curvature"), digest([settings, files, hashes])),)
    device, utilities = params.valuation.device, params.valuation.utilities
    return as_game(pretrained.to(device), schema, record, players, utilities, statistics)


def _hash_of_rows(rows: Rows) -> str:
    """Hex SHA-256 of what a model sees of rows."""
    x, y = rows
    return hash_of_state({"x": x, "y": y})
