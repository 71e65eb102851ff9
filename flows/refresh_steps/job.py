"""What a refresh works on, and what it tells when it is outcome."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.refresh_steps.dropfolder import Drop
from flows.refresh_steps.repository import Repository
from unshapley.config import Params
from unshapley.errors import InputError
from unshapley.project import Project

log = logging.getLogger("unshapley.run")

Value = Callable[[Path, Params], Any]
"""Values a project: the valuation flow."""


@dataclass
class RefreshOutcome:
    """What a refresh did.

    tag, commit: of the valuation it made or, where one was left unfinished, finished; taken: files
    of the drop folder that it holds; refused: files that stayed there, with the reason.
    """

    tag: str | None = None
    commit: str | None = None
    pushed: bool = False
    taken: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return self.tag is not None

    def summary(self) -> dict[str, Any]:
        return {"changed": self.changed, **vars(self)}


@dataclass
class RefreshJob:
    """What the steps of one refresh have in common."""

    project: Project
    repo: Repository
    drop: Drop | None
    push: bool
    value: Value
    outcome: RefreshOutcome = field(default_factory=RefreshOutcome)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Name a step in the log, and time it."""
        begin = time.monotonic()
        yield
        spent, seconds = time.monotonic() - begin, self.outcome.seconds
        seconds[name] = round(seconds.get(name, 0.0) + spent, 3)
        log.debug("refresh: %s %.1f s", name, spent)


def refusal(outcome: RefreshOutcome) -> InputError:
    """The error that says why files stayed in the drop folder."""
    return InputError(
        f"{len(outcome.refused)} files of the drop folder were not taken\n"
        + "\n".join(f"  {name}: {why}" for name, why in outcome.refused.items()),
        do="correct them, or take them away; "
        + (f"all else is valued in {outcome.tag}" if outcome.changed else "nothing else changed"),
    )
