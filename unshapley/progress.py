"""Progress of long work: who waits for it says how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Advance = Callable[[int], None]
"""Called with the number of coalitions, steps or tables that were just done."""
Progress = Callable[[int], AbstractContextManager[Advance]]
"""Called with the number of them in all; gives what is to be called as they are done."""
Phases = Callable[[str, str], Progress]
"""Progress of one phase of several: called with its name and with what is counted."""


@contextmanager
def silent(total: int) -> Iterator[Advance]:
    """Progress that is not shown."""
    yield lambda _count: None


def silent_phases(_name: str, _unit: str) -> Progress:
    """Phases that are not shown."""
    return silent
