"""Task: load model, rows and test set, and check them; once in each worker process."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from prefect import task

from unshapley.environment import check_numerics
from unshapley.extensions import look_in
from unshapley.game.loading import LoadedGame, load_game
from unshapley.project import Project


@dataclass(frozen=True)
class GameSource:
    """Identifies a game to load; small enough to send to any worker.

    needs: the stored statistics that the unlearner needs; utilities: names of the utilities to
    measure; state: hash of the files, so that a long-lived worker loads changed files again;
    numerics: which bits results have, which the worker must be able to give.
    """

    root: Path
    players: tuple[str, ...]
    needs: str | None
    device: str
    utilities: tuple[str, ...]
    state: str
    numerics: str = "native"


class GameLoader:
    """Loads games and keeps the last one, which the tasks of a worker process share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: tuple[GameSource, LoadedGame] | None = None

    def __reduce__(self) -> str:
        return "WORKER"  # in another process, a task uses the loader of that process

    def load(self, source: GameSource) -> LoadedGame:
        """The game of this source; raises as `load_game` does."""
        with self._lock:
            if self._kept is None or self._kept[0] != source:
                check_numerics(source.numerics)
                look_in(source.root)
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
"""The loader of this worker process."""


@task(name="load")
def load(source: GameSource) -> None:
    """Load everything once; raises `InputError` if a file is not the recorded one."""
    WORKER.load(source)
