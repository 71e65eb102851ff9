"""What a worker does: load a game once in its process, and measure chunks of it.

It needs neither Prefect nor the project's folder of results: a task of the flow calls these
functions through an `Engine`, and keeps what they give.
"""

from __future__ import annotations

import importlib.metadata
import platform
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from tasks.inputs import Inputs, place
from unshapley.environment import check_numerics, numerics
from unshapley.errors import InputError, OwnCodeError
from unshapley.extensions import look_in
from unshapley.files import digest
from unshapley.game.coalitions import Coalitions
from unshapley.game.loading import LoadedGame, load_game
from unshapley.game.measuring import CachedUtilities, measure_missing, packed
from unshapley.game.utilities import sources_of
from unshapley.game.utility import Utility
from unshapley.project import Project
from unshapley.unlearning import Unlearner, source_of_unlearner

T = TypeVar("T")
PACKAGES = ("numpy", "scipy", "pandas", "pyarrow", "safetensors")
"""Packages whose version a worker must share, beside what `numerics` holds."""
IN_WORDS = {"sources": "source of unshapley", "vector": "vector width of torch"}


@dataclass(frozen=True)
class Likeness:
    """What a worker must have in common with the process that plans, or its bits may be others.

    numerics: as `valuation.numerics` says; facts: versions, processor and source hash.
    """

    numerics: str = "native"
    facts: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def of_this_process(asked: str, device: str) -> Likeness:
        return Likeness(asked, facts(device))


@dataclass(frozen=True)
class GameSource:
    """Identifies a game to load; small enough to send to any worker.

    needs: the stored statistics that the unlearner needs; utilities: names of the utilities to
    measure; state: hash of the files, so that a long-lived worker loads changed files again;
    likeness: what the worker must be like; inputs: the files by content, for workers that may not
    see `root`; None where all do.
    """

    root: Path
    players: tuple[str, ...]
    needs: str | None
    device: str
    utilities: tuple[str, ...]
    state: str
    likeness: Likeness = Likeness()
    inputs: Inputs | None = None


class GameLoader:
    """Loads games and keeps the last one, which the tasks of a worker process share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: tuple[GameSource, LoadedGame] | None = None

    def __reduce__(self) -> str:
        return "WORKER"  # in another process, a task uses the loader of that process

    def load(self, source: GameSource) -> LoadedGame:
        """The game of this source; raises as `check_likeness`, `place` and `load_game`
        do.
        """
        with self._lock:
            if self._kept is None or self._kept[0] != source:
                check_likeness(source.likeness, source.device)
                root = place(source.inputs, source.root) if source.inputs else source.root
                look_in(root)
                game = load_game(
                    Project(root),
                    source.players,
                    source.needs,
                    source.device,
                    source.utilities,
                )
                self._kept = (source, game)
            return self._kept[1]


WORKER = GameLoader()
"""The loader of this worker process."""


def on_cluster(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a process of a cluster, which gives the bits that others give."""
    _compute_on_one_thread()
    return function(*arguments)


@cache
def _compute_on_one_thread() -> None:
    threadpool_limits(1)  # not undone: the process is there for this work


def load_here(source: GameSource) -> None:
    """Load a game in this process; raises as `GameLoader.load` does."""
    WORKER.load(source)


def measure_chunk(
    source: GameSource,
    unlearner: Unlearner,
    coalitions: Coalitions,
    recalled: CachedUtilities,
    own_code: str,
) -> tuple[dict[str, Any], dict[str, float]]:
    """Utilities of coalitions `(m, n)` by column, the primary one's bootstrap samples as text, and
    the seconds of each step. As small as it is stored, since it may travel.

    own_code: what `own_code_of` gives where the run was started; raises `OwnCodeError` where this
    machine has another.
    """
    game = WORKER.load(source)
    if own_code_of(unlearner, game.utilities) != own_code:
        raise OwnCodeError(
            "an unlearner or utility of your own has another source on this machine",
            where="valuation.unlearner or valuation.utilities",
            do="install the same version of it on every worker, and start them again",
        )
    measured, seconds = measure_missing(game, unlearner, coalitions, game.utilities, recalled)
    return {"utilities": measured.utilities, "resampled": packed(measured.resampled)}, seconds


def own_code_of(unlearner: Unlearner, utilities: Sequence[Utility]) -> str:
    """Hash of the sources of the user's own that measuring runs."""
    return digest([source_of_unlearner(unlearner), sources_of(utilities)])


def facts(device: str) -> dict[str, Any]:
    """What decides the bits that this process gives."""
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    python = ".".join(platform.python_version_tuple()[:2])
    return {**numerics(device), "python": python, **versions}


def check_likeness(likeness: Likeness, device: str) -> None:
    """Raise `InputError` where this process may give other bits than the one that plans."""
    check_numerics(likeness.numerics)
    here = facts(device)
    for name, expected in likeness.facts.items():
        if here.get(name) != expected:
            raise InputError(
                f"another {IN_WORDS.get(name, name)} on this machine: {_short(here.get(name))}",
                expected=f"{_short(expected)}, as where the run was started: the bits of values "
                "depend on it",
                do="start workers on machines that are alike, with the same packages and sources; "
                "where only processors differ, set valuation.numerics to portable",
            )


def _short(fact: object) -> str:
    return str(fact)[:80]
