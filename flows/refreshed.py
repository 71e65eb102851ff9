"""What a refresh works on, and what it tells when it is done."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.dropfolder import Drop
from flows.repository import Repository
from unshapley.config import Params
from unshapley.errors import InputError
from unshapley.project import Project

log = logging.getLogger("unshapley.run")

Value = Callable[[Path, Params], Any]
"""Values a project: the flow, or what stands for it."""


@dataclass
class Refreshed:
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
class Job:
    """What the steps of one refresh have in common."""

    place: Project
    repo: Repository
    drop: Drop | None
    push: bool
    value: Value
    done: Refreshed = field(default_factory=Refreshed)


@contextmanager
def step(job: Job, name: str) -> Iterator[None]:
    """Name a step in the log, and time it."""
    begin = datetime.now(UTC)
    yield
    spent = (datetime.now(UTC) - begin).total_seconds()
    job.done.seconds[name] = round(job.done.seconds.get(name, 0.0) + spent, 3)
    log.debug("refresh: %s %.1f s", name, spent)


def refusal(done: Refreshed) -> InputError:
    """The error that tells why files stayed in the drop folder."""
    return InputError(
        f"{len(done.refused)} files of the drop folder were not taken\n"
        + "\n".join(f"  {name}: {why}" for name, why in done.refused.items()),
        do="correct them, or take them away; "
        + (f"all else is valued in {done.tag}" if done.changed else "nothing else changed"),
    )
