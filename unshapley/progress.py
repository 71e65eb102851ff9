"""Progress of long work: who waits for it says how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Advance = Callable[[int], None]
"""Called with the number of coalitions that were just done."""
Progress = Callable[[int], AbstractContextManager[Advance]]
"""Called with the number of coalitions in all; gives what is to be called as they are done."""


@contextmanager
def silent(total: int) -> Iterator[Advance]:
    """Progress that is not shown."""
    yield lambda _count: None
