"""A game in memory: the model trained on tables, as `unshapley pretrain` does."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unshapley.api.tables import Tables
from unshapley.config import Params
from unshapley.curvature.statistics import with_statistics
from unshapley.files import digest
from unshapley.game.loading import LoadedGame, as_game
from unshapley.game.pretraining import record_of, train_model
from unshapley.models.batching import State
from unshapley.models.rows import Rows
from unshapley.models.store import CHECKPOINT, INITIALISATION, REWIND
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
    schema, partitions = tables.schema, tables.partitions
    pretrained, score = train_model(
        params.pretrain, schema, partitions, tables.reference, tables.test, phases
    )
    assert pretrained.rewind is not None
    weights = {
        CHECKPOINT: pretrained.trained,
        INITIALISATION: pretrained.initial,
        REWIND: pretrained.rewind,
    }
    files = {name: _hash_of_state(state) for name, state in weights.items()}
    hashes = {name: _hash_of_rows(rows) for name, rows in partitions.items()}
    sets = _hash_of_rows(tables.test), _hash_of_rows(tables.reference)
    record = record_of(pretrained, schema, score, hashes, sets, files, {})
    pretrained = replace(pretrained, test=tables.test)
    statistics: tuple[tuple[Path, str], ...] = ()
    if needs in ("curvature", "features"):
        pretrained = with_statistics(pretrained, partitions, params.curvature)
        settings = params.curvature.model_dump(mode="json")
        statistics = ((Path("curvature"), digest([settings, files, hashes])),)
    device = params.valuation.device
    return as_game(
        pretrained.to(device), schema, record, players, params.valuation.utilities, statistics
    )


def _hash_of_rows(rows: Rows) -> str:
    """Hex SHA-256 of what a model sees of rows."""
    x, y = rows
    return _hash_of_state({"x": x, "y": y})


def _hash_of_state(state: State) -> str:
    sha = hashlib.sha256()
    for name, tensor in state.items():
        sha.update(digest([name, str(tensor.dtype), list(tensor.shape)]).encode())
        sha.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()
