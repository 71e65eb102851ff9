"""What an audit compared, and what follows from it.

A check compares one part of a record with what was derived or measured again. The verdict is that
of the worst check; checks are in the order in which a valuation is made, so that the first one that
differs tells since which step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshapley.errors import (
    AlteredError,
    OwnCodeError,
    UncheckableError,
    UnshapleyError,
    raise_if_no_memory,
)

Floats = NDArray[np.float64]

STEPS = (
    "record",
    "inputs",
    "validate",
    "plan",
    "measure",
    "retrain",
    "correct",
    "aggregate",
    "publish",
)
"""Steps of a valuation, in their order; `record` is the manifest and its chain."""
UNCOMPUTED = ("record", "inputs")
"""Steps that compare bytes: what differs there differs whatever code looks at it."""
IDENTICAL, WITHIN, DIFFERENT = "identical", "within tolerance", "different"
MISSING, UNEXAMINED, EXPECTED = "not checkable", "not examined", "as expected"
"""Outcomes of a check. `MISSING`: what it needs is not there; `UNEXAMINED`: this audit did not ask
for it; `EXPECTED`: other numbers than are recorded, which agree with them by what chance does."""
UNREADABLE = (UnshapleyError, LookupError, TypeError, ValueError)
"""Errors of tables and figures of another form than ours, whose hashes are the recorded ones."""
REPRODUCED, REPRODUCED_WITHIN = "reproduced", "reproduced within tolerance"
NOT_REPRODUCED, NOT_CHECKABLE = "not reproduced", "not checkable"
EXIT_CODES = {REPRODUCED: 0, REPRODUCED_WITHIN: 0, NOT_REPRODUCED: 4, NOT_CHECKABLE: 5}
"""Exit code by verdict."""
NAMED = 5
"""Differences that a check names."""


@dataclass(frozen=True)
class Check:
    """One comparison.

    step: of `STEPS`; what: was compared; outcome: see above; compared, differing: number of entries
    that were, and that are not the same; largest: largest difference of two numbers, in their unit;
    tolerance: what it may be; details: entries that differ, or what is missing.
    """

    step: str
    what: str
    outcome: str
    compared: int = 1
    differing: int = 0
    largest: float | None = None
    tolerance: float | None = None
    details: tuple[str, ...] = ()

    def line(self) -> str:
        """In words, on one line."""
        count = f"{self.differing} of {self.compared}"
        words = {
            IDENTICAL: f"{self.compared} identical",
            WITHIN: f"{count} differ, by {self.largest or 0:.2g} at most, within "
            f"{self.tolerance or 0:.2g}",
            DIFFERENT: f"{count} differ"
            + ("" if self.largest is None else f", by {self.largest:.3g} at most")
            + ("" if self.tolerance is None else f", allowed is {self.tolerance:.2g}"),
        }
        words[MISSING] = f"{count} are missing"
        text = words.get(self.outcome, self.outcome)
        return f"{self.step}: {self.what}: {text}"


@dataclass(frozen=True)
class Verdict:
    """What all checks together say; other_code: whether other code or libraries computed it than
    are recorded, so that numbers may differ without anybody's doing.
    """

    checks: tuple[Check, ...]
    other_code: bool = False

    @property
    def ordered(self) -> tuple[Check, ...]:
        """The checks by step."""
        return tuple(sorted(self.checks, key=lambda check: STEPS.index(check.step)))

    @property
    def differing(self) -> tuple[Check, ...]:
        return tuple(check for check in self.ordered if check.outcome == DIFFERENT)

    @property
    def missing(self) -> tuple[Check, ...]:
        return tuple(check for check in self.ordered if check.outcome == MISSING)

    @property
    def since(self) -> str | None:
        """The first step at which something differs."""
        return self.differing[0].step if self.differing else None

    @property
    def outcome(self) -> str:
        """Reproduced, reproduced within tolerance, not reproduced, or not checkable.

        Numbers that differ under other code than the recorded are no proof against the record.
        """
        if any(check.step in UNCOMPUTED for check in self.differing):
            return NOT_REPRODUCED
        if self.differing:
            return NOT_CHECKABLE if self.other_code else NOT_REPRODUCED
        if self.missing:
            return NOT_CHECKABLE
        within = any(check.outcome == WITHIN for check in self.checks)
        return REPRODUCED_WITHIN if within else REPRODUCED

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.outcome]

    def summary(self) -> dict[str, Any]:
        """For audit.json."""
        return {
            "verdict": self.outcome,
            "since": self.since,
            "other_code": self.other_code,
            "checks": [{**asdict(c), "details": list(c.details)} for c in self.ordered],
        }


def unreadable(step: str, what: str, error: Exception) -> Check:
    """A check of what is not of the form that a valuation writes, or cannot be read without code of
    the user's own that the auditor does not have: that is nobody's forgery.

    Raises `MemoryError` where the machine could not read it: that is no finding.
    """
    raise_if_no_memory(error)
    if isinstance(error, OwnCodeError):
        return Check(step, "code of the user's own", MISSING, 1, 1, details=(str(error),))
    named = str(error) if isinstance(error, UnshapleyError) else f"{type(error).__name__}: {error}"
    return Check(step, what, DIFFERENT, 1, 1, details=(named,))


def compare_numbers(
    step: str,
    what: str,
    recorded: Sequence[float] | Floats,
    found: Sequence[float] | Floats,
    tolerance: float | Sequence[float] | Floats,
    names: Sequence[str],
) -> Check:
    """Compare numbers `(k,)`, each within its tolerance; NaN equals NaN.

    names: of each of them, for the details.
    """
    a, b = np.asarray(recorded, dtype=np.float64), np.asarray(found, dtype=np.float64)
    if a.shape != b.shape:
        detail = f"recorded are {len(a)} numbers, {len(b)} were found"
        return Check(
            step, what, DIFFERENT, max(len(a), len(b)), abs(len(a) - len(b)), None, None, (detail,)
        )
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    limits = np.broadcast_to(np.asarray(tolerance, dtype=np.float64), a.shape)
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.abs(a - b))
    difference = np.where(np.isnan(difference), np.inf, difference)
    beyond = difference > limits
    if not len(a) or same.all():
        return Check(step, what, IDENTICAL, len(a))
    outcome = DIFFERENT if beyond.any() else WITHIN
    excess = np.where(beyond, difference / np.maximum(limits, 1e-300), 0.0)
    worst = [i for i in np.argsort(-excess, kind="stable")[:NAMED] if beyond[i]]
    details = tuple(f"{names[i]}: recorded {a[i]:.9g}, found {b[i]:.9g}" for i in worst)
    finite = difference[np.isfinite(difference)]
    largest = float(finite.max()) if len(finite) else None
    differing = int(beyond.sum() if beyond.any() else (~same).sum())
    return Check(step, what, outcome, len(a), differing, largest, float(limits.max()), details)


def compare_entries(
    step: str, what: str, recorded: Sequence[Any], found: Sequence[Any], names: Sequence[str]
) -> Check:
    """Compare entries that are the same or not, such as names and ranks."""
    if len(recorded) != len(found):
        detail = f"recorded are {len(recorded)} entries, {len(found)} were found"
        return Check(
            step,
            what,
            DIFFERENT,
            len(recorded),
            abs(len(recorded) - len(found)),
            None,
            None,
            (detail,),
        )
    differ = [i for i, (a, b) in enumerate(zip(recorded, found, strict=True)) if a != b]
    details = tuple(f"{names[i]}: recorded {recorded[i]}, found {found[i]}" for i in differ[:NAMED])
    outcome = DIFFERENT if differ else IDENTICAL
    return Check(step, what, outcome, len(recorded), len(differ), details=details)


class NotReproducedError(AlteredError):
    """An audit found something else than was recorded; summary: the content of audit.json."""

    def __init__(self, message: str, summary: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.summary = summary


class NotCheckableError(UncheckableError):
    """An audit lacked what it needs; summary: the content of audit.json."""

    def __init__(self, message: str, summary: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.summary = summary


def _told(check: Check) -> list[str]:
    left = len(check.details) - NAMED
    more = [f"  and {left} more, see audit.html"] if left > 0 else []
    return [check.line(), *(f"  {detail}" for detail in check.details[:NAMED]), *more]


def error_of(verdict: Verdict, summary: Mapping[str, Any]) -> UnshapleyError | None:
    """The error that a verdict ends with; None where the valuation was reproduced."""
    if not verdict.exit_code:
        return None
    checks = verdict.differing or verdict.missing
    lines = [f"  {line}" for check in checks[:NAMED] for line in _told(check)]
    more = [f"  and {len(checks) - NAMED} more, see audit.html"] if len(checks) > NAMED else []
    head = f"{summary['revision']['name']} is {verdict.outcome}"
    if verdict.since:
        head += f", since step {verdict.since}"
    if verdict.other_code:
        head += "; other code or libraries computed it here than are recorded"
    message = "\n".join([head, *lines, *more])
    kind = NotReproducedError if verdict.outcome == NOT_REPRODUCED else NotCheckableError
    return kind(message, summary)
