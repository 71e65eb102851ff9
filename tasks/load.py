"""Task: load model, rows and test set, checked against the record; once a process."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from prefect import task

from unshapley.game.loading import LoadedGame, load_game
from unshapley.project import Project


@dataclass(frozen=True)
class GameSource:
    """What names a loaded game: small enough to travel to any worker.

    needs: what the unlearner needs of the stored statistics; utilities: names of what is measured;
    state: hash of the files, so that a long-lived worker never takes yesterday's for today's.
    """

    root: Path
    players: tuple[str, ...]
    needs: str | None
    device: str
    utilities: tuple[str, ...]
    state: str


class GameLoader:
    """Loads games, and keeps the last one: the tasks of a worker process share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: tuple[GameSource, LoadedGame] | None = None

    def __reduce__(self) -> str:
        return "WORKER"  # a task that travels to another process finds the loader of that process

    def load(self, source: GameSource) -> LoadedGame:
        """The game of this source; raises as `load_game` does."""
        with self._lock:
            if self._kept is None or self._kept[0] != source:
                game = load_game(
                    Project(source.root),
                    source.players,
                    source.needs,
                    source.device,
                    source.utilities,
                )
                self._kept = (source, game)
            return self._kept[1]


WORKER = GameLoader()
"""What this worker process keeps loaded."""


@task(name="load")
def load(source: GameSource) -> None:
    """Load everything once; raises `InputError` where a file is not what the record says."""
    WORKER.load(source)
