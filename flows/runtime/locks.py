"""One run at a time in a project, and one refresh."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unshapley.errors import BusyError
from unshapley.files import unwritable
from unshapley.project import Project


@contextmanager
def only_run(place: Project) -> Iterator[None]:
    """Hold the project's lock; the kernel releases it however the process ends."""
    with _held(place.results.parent / "lock", f"{place.root}: another valuation works here"):
        yield


@contextmanager
def only_refresh(place: Project) -> Iterator[int]:
    """Hold the lock of refreshes around their steps, which take the project's lock each; give its
    descriptor. A child that inherits it keeps the lock when this process is killed before it.
    """
    with _held(
        place.results.parent / "refresh.lock", f"{place.root}: another refresh works here"
    ) as held:
        yield held


@contextmanager
def _held(path: Path, busy: str) -> Iterator[int]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise unwritable(path, error) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"{busy}\n  do: wait until it has ended") from None
        yield file.fileno()
