"""Locks: at most one valuation, one refresh and one audit at a time in a project."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from unshapley.errors import BusyError
from unshapley.files import unwritable
from unshapley.project import Project

RUN, REFRESH, AUDIT = LOCKS = ("lock", "refresh.lock", "audit.lock")
"""Files of a project's folder of results."""


@contextmanager
def only_run(project: Project) -> Iterator[None]:
    """Hold the project's lock; the kernel releases it when the process ends for any reason."""
    with _locked(project.results.parent / RUN, f"{project.root}: another valuation works here"):
        yield


@contextmanager
def only_refresh(project: Project) -> Iterator[int]:
    """Hold the lock of refreshes; yield its file descriptor.

    It is not the project's lock, which single steps hold. A child process that inherits the
    descriptor keeps the lock if this process is killed.
    """
    with _locked(
        project.results.parent / REFRESH, f"{project.root}: another refresh works here"
    ) as lock:
        yield lock


@contextmanager
def nobody_else(project: Project) -> Iterator[None]:
    """Hold all locks of the project: no valuation, refresh or audit works in it meanwhile."""
    folder = project.results.parent
    works = {REFRESH: "a refresh", AUDIT: "an audit", RUN: "a valuation"}
    with ExitStack() as stack:
        for name, work in works.items():
            stack.enter_context(_locked(folder / name, f"{project.root}: {work} works here"))
        yield


@contextmanager
def only_audit(project: Project) -> Iterator[int]:
    """Hold the lock of audits; yield its file descriptor, as `only_refresh` does."""
    with _locked(
        project.results.parent / AUDIT, f"{project.root}: another audit works here"
    ) as lock:
        yield lock


@contextmanager
def only_server(home: Path) -> Iterator[None]:
    """Hold the lock of a server's home: two servers on one SQLite file lock each other out."""
    with _locked(home / "serve.lock", f"{home}: another `unshapley serve` works here"):
        yield


@contextmanager
def is_free(path: Path) -> Iterator[bool]:
    """Whether nobody holds this lock; if so, nobody gets it within the block."""
    with ExitStack() as stack:
        try:
            stack.enter_context(_locked(path, "busy"))
        except BusyError:
            yield False
        else:
            yield True


@contextmanager
def _locked(path: Path, busy: str) -> Iterator[int]:
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
