"""The data that the steps of a refresh share, and the outcome of a refresh."""

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
"""Function that values a project: the valuation flow."""


@dataclass
class RefreshOutcome:
    """What a refresh did.

    tag, commit: of the valuation that it made, or that it completed for an interrupted refresh;
    taken: files of the drop folder that the valuation contains; refused: files that stayed in the
    drop folder, with the reason; seconds: by step.
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
    """The data that the steps of one refresh share."""

    project: Project
    repo: Repository
    drop: Drop | None
    push: bool
    value: Value
    outcome: RefreshOutcome = field(default_factory=RefreshOutcome)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure the time of a step, and log it."""
        start = time.monotonic()
        yield
        elapsed, seconds = time.monotonic() - start, self.outcome.seconds
        seconds[name] = round(seconds.get(name, 0.0) + elapsed, 3)
        log.debug("refresh: %s %.1f s", name, elapsed)


def refusal(outcome: RefreshOutcome) -> InputError:
    """The error with the reasons why files stay in the drop folder."""
    rest = "nothing else changed"
    if outcome.changed:
        rest = f"everything else is valued in {outcome.tag}"
    return InputError(
        f"{len(outcome.refused)} files stay in the drop folder\n"
        + "\n".join(f"  {name}: {reason}" for name, reason in outcome.refused.items()),
        do=f"correct or remove them; {rest}",
    )
