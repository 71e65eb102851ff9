"""Values that a new valuation puts outside the interval of the last one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unshapley.results.published import PublishedValue


@dataclass(frozen=True)
class Moved:
    """A provider's value before, with its 95 % interval, and now."""

    provider: str
    before: float
    low: float
    high: float
    after: float

    def __str__(self) -> str:
        interval = f"{self.before:.4g} ({self.low:.4g} … {self.high:.4g})"
        return f"{self.provider}: {interval} → {self.after:.4g}"


def moved_beyond(
    before: Sequence[PublishedValue], after: Sequence[PublishedValue]
) -> tuple[Moved, ...]:
    """Providers of both whose value left the interval that it had, in provider order."""
    now = {entry.provider: entry.value for entry in after}
    found = []
    for old in before:
        new = now.get(old.provider)
        if old.value is None or old.ci_low is None or old.ci_high is None or new is None:
            continue
        if not old.ci_low <= new <= old.ci_high:
            found.append(Moved(old.provider, old.value, old.ci_low, old.ci_high, new))
    return tuple(found)
