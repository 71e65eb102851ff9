"""The primary utility on the test rows of each provider that gave some: whose rows reward whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from torch import Tensor

from unshapley.game.utility import Utility

MOST = 50
"""More sources are not measured one by one: a column of each is stored for every coalition."""


@dataclass(frozen=True)
class UtilityBySource(Utility):
    """A utility on parts of the test rows, in columns such as `accuracy[north]`.

    parts: the rows of each source.
    """

    parts: Mapping[str, slice] = field(default_factory=dict)

    def columns(self, outputs: Tensor, y: Tensor, classes: Sequence[str]) -> dict[str, Tensor]:
        """Scores by column `(models,)`."""
        return {
            source_column(self.name, source): self.score(outputs[:, rows], y[rows])
            for source, rows in self.parts.items()
        }


def source_column(utility: str, source: str) -> str:
    """Name of the column of a utility on the test rows of one source."""
    return f"{utility}[{source}]"


def by_source(primary: Utility, sources: Mapping[str, int], y: Tensor) -> tuple[Utility, ...]:
    """The primary utility by source of the test rows, if these come from 2 to `MOST` providers.

    sources: number of rows of each, in the order of the rows `y` `(rows,)`. A source on whose rows
    the utility is not defined is left out; a function of the user's own is not called on parts.
    """
    if not 2 <= len(sources) <= MOST or primary.source is not None:
        return ()
    parts, start = {}, 0
    for source, count in sources.items():
        rows = slice(start, start + count)
        start += count
        if not primary.varied or len(set(y[rows].tolist())) > 1:
            parts[source] = rows
    given = {entry.name: getattr(primary, entry.name) for entry in fields(primary)}
    return (UtilityBySource(**given, parts=parts),)


def rows_of(utilities: Sequence[Utility], name: str) -> slice:
    """The test rows that a column is about: those of its source, or all."""
    for utility in utilities:
        if isinstance(utility, UtilityBySource):
            for source, rows in utility.parts.items():
                if source_column(utility.name, source) == name:
                    return rows
    return slice(None)
