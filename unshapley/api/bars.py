"""Progress as bars of tqdm, on a terminal or in a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from unshapley.progress import Advance, Progress


def bars(name: str, unit: str) -> Progress:
    """A bar of one phase; a `unshapley.progress.Phases`."""

    @contextmanager
    def bar(total: int) -> Iterator[Advance]:
        from tqdm.auto import tqdm

        with tqdm(total=total, desc=name, unit=f" {unit}") as shown:

            def advance(count: int) -> None:
                shown.update(count)

            yield advance

    return bar
