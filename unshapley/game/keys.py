"""Content keys: what the utilities of a game, and of a chunk of it, depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unshapley.files import digest
from unshapley.game.coalitions import Coalitions
from unshapley.game.loading import LoadedGame
from unshapley.game.utilities import Utility, sources_of
from unshapley.unlearning import Unlearner, source_of_unlearner

Forgotten = dict[str, str]
"""Who is forgotten, with the hash of the rows that this reads: how a coalition is known whoever
else plays."""


def game_key(
    game: LoadedGame,
    unlearner: Unlearner,
    utilities: Sequence[Utility],
    environment: Mapping[str, Any],
) -> str:
    """Content key of a game: all that utilities depend on but which of them, and who is forgotten.

    Nor who plays: the model for a coalition is the same whoever else could have been forgotten.
    environment: versions, device, threads and source hash, as `environment.numerics` gives them.
    """
    record = game.record
    return digest(
        {
            "providers": game.providers,
            "rows": record.rows,
            "partitions": {} if _reads_forgotten_only(unlearner) else _rows_read(game, unlearner),
            "labels": [game.classes, game.label_mean, game.label_scale],
            "statistics": [value for _, value in game.statistics],
            "model": record.files,
            "recipe": record.recipe.model_dump(mode="json"),
            "architecture": record.architecture_source,
            "test": record.test,
            "reference": record.reference,
            "unlearner": unlearner.described(),
            "own_unlearner": source_of_unlearner(unlearner),
            "own_utilities": sources_of(utilities),
            "environment": environment,
        }
    )


def rows_read_to_forget(game: LoadedGame, unlearner: Unlearner) -> dict[str, str]:
    """Of every player, the hash of the rows that are read only where it is forgotten.

    Empty hashes for an unlearner that reads no rows, or those of providers that stay as well.
    """
    read = game.record.partitions if _reads_forgotten_only(unlearner) else {}
    return {player: read.get(player, "") for player in game.players}


def forgotten_of(coalitions: Coalitions, rows: Mapping[str, str]) -> list[Forgotten]:
    """Who is forgotten for each coalition.

    rows: the players in their order, as `rows_read_to_forget` gives them.
    """
    players = list(rows.items())
    return [
        {
            player: read
            for (player, read), stays in zip(players, coalition, strict=True)
            if not stays
        }
        for coalition in coalitions
    ]


def chunk_key(game: str, forgotten: Sequence[Forgotten], columns: Sequence[str]) -> str:
    """Content key of a chunk of a game: everything that its utilities depend on, nothing else.

    game: its key; forgotten: of each coalition; columns: names of the utilities.
    """
    return digest([game, list(forgotten), list(columns)])


def _reads_forgotten_only(unlearner: Unlearner) -> bool:
    return unlearner.retain_free and unlearner.reads_rows


def _rows_read(game: LoadedGame, unlearner: Unlearner) -> dict[str, str]:
    return game.record.partitions if unlearner.reads_rows else {}
