"""Content keys: what the utilities of a game, and of a chunk of it, depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unshapley.files import digest
from unshapley.game.coalitions import Coalitions
from unshapley.game.loading import LoadedGame
from unshapley.game.utilities import sources_of
from unshapley.game.utility import Utility
from unshapley.unlearning import Unlearner, source_of_unlearner

Forgotten = dict[str, str]
"""Forgotten providers, each with the hash of its rows; identifies a coalition independently of the
other players."""


def game_key(
    game: LoadedGame,
    unlearner: Unlearner,
    utilities: Sequence[Utility],
    environment: Mapping[str, Any],
) -> str:
    """Hash of everything that utilities depend on, except: which utilities, who is forgotten, and
    who the players are.

    The model for a coalition is the same whoever else could have been forgotten.
    environment: versions, device, threads and source hash, as `environment.numerics` gives them.
    """
    record = game.record
    return digest(
        {
            "providers": game.providers,  # all in the model, players or not
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


def hashes_of_forgotten_rows(game: LoadedGame, unlearner: Unlearner) -> dict[str, str]:
    """For each player the hash of its rows if the unlearner reads just the forgotten rows, else ''.

    Rows that stay, and statistics, are part of `game_key`.
    """
    read = game.record.partitions if _reads_forgotten_only(unlearner) else {}
    return {player: read.get(player, "") for player in game.players}


def forgotten_of(coalitions: Coalitions, row_hashes: Mapping[str, str]) -> list[Forgotten]:
    """The forgotten providers of each coalition.

    row_hashes: of the players in their order, as `hashes_of_forgotten_rows` gives them.
    """
    players = list(row_hashes.items())
    return [
        {
            player: read
            for (player, read), stays in zip(players, coalition, strict=True)
            if not stays
        }
        for coalition in coalitions
    ]


def chunk_key(game: str, forgotten: Sequence[Forgotten], columns: Sequence[str]) -> str:
    """Content key of a chunk, by which a killed run resumes: everything that its utilities depend
    on, nothing else.

    game: its key; forgotten: of each coalition; columns: names of the utilities.
    """
    return digest([game, list(forgotten), list(columns)])


def _reads_forgotten_only(unlearner: Unlearner) -> bool:
    return unlearner.retain_free and unlearner.reads_rows


def _rows_read(game: LoadedGame, unlearner: Unlearner) -> dict[str, str]:
    return game.record.partitions if unlearner.reads_rows else {}
