"""One run at a time in a project."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from unshapley.errors import BusyError
from unshapley.files import unwritable
from unshapley.project import Project


@contextmanager
def only_run(place: Project) -> Iterator[None]:
    """Hold the project's lock; the kernel releases it however the process ends."""
    path = place.results.parent / "lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise unwritable(path, error) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"{place.root}: another valuation works here\n  do: wait until it has ended"
            ) from None
        yield
