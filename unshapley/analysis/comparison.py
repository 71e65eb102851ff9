"""Two valuations side by side: what changed, and which values by more than their errors explain?"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from unshapley.analysis.changes import Change, changes_between, is_present, renamed
from unshapley.analysis.differences import half_width, holm, interval
from unshapley.results.published import PublishedValue
from unshapley.results.tracked import TrackedValuation

LEVEL = 0.05
"""Probability that any difference at all is called one though there is none."""
ROUNDING = 1e-5
"""Differences up to this share of U(all) − U(none) may come from rounding: coalitions measured in
other chunks differ by as much."""

BEYOND, ON_TEST, WITHIN = "beyond noise", "on this test set", "within noise"
UNKNOWN, NEW, GONE, NOT_COMPARED = "unknown", "new", "gone", "not compared"
"""Findings; docs/history.md says what each means."""


@dataclass(frozen=True)
class ValueChange:
    """A provider's value before and after.

    former: its name before, where it was renamed; ci_low, ci_high: 95 % interval of the difference;
    p_value: of no difference, adjusted for all differences (Holm). on_test_…: the same without the
    error of the test set, None unless both valuations share it.
    """

    provider: str
    former: str
    before: PublishedValue | None
    after: PublishedValue | None
    finding: str
    ci_low: float | None = None
    ci_high: float | None = None
    p_value: float | None = None
    on_test_low: float | None = None
    on_test_high: float | None = None
    on_test_p_value: float | None = None

    @property
    def has_values(self) -> bool:
        return self.difference is not None

    @property
    def difference(self) -> float | None:
        """After − before; None unless both have a value."""
        before, after = (_value(entry) for entry in (self.before, self.after))
        return None if before is None or after is None else after - before


def _value(entry: PublishedValue | None) -> float | None:
    return None if entry is None else entry.value


@dataclass(frozen=True)
class Comparison:
    """before, after: the valuations; notes: what the intervals assume and leave out."""

    before: TrackedValuation
    after: TrackedValuation
    changes: tuple[Change, ...]
    values: tuple[ValueChange, ...]
    notes: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of providers by finding."""
        findings = [value.finding for value in self.values]
        return {finding: findings.count(finding) for finding in dict.fromkeys(findings)}


def compare(before: TrackedValuation, after: TrackedValuation) -> Comparison:
    """What changed from one valuation to the other, and which values by more than noise."""
    pairs = _pairs(before, after)
    comparable = before.utility == after.utility
    compared = [pair for pair in pairs if comparable and pair.has_values]
    shared, same_game = _same_test(before, after), _same_game(before, after)
    wide = [half_width(p.before, p.after, with_test=not same_game) for p in compared]
    narrow = [half_width(p.before, p.after, with_test=False) if shared else None for p in compared]
    tiny = ROUNDING * max(_range(before), _range(after))
    differences = [pair.difference for pair in compared]
    adjusted, on_test = holm(differences, wide, tiny), holm(differences, narrow, tiny)
    compared_pairs = {}
    for pair, *figures in zip(compared, wide, narrow, adjusted, on_test, strict=True):
        compared_pairs[pair.provider] = _compared(pair, *figures)
    values = tuple(compared_pairs.get(pair.provider) or pair for pair in pairs)
    notes = [
        f"tag {tag} was moved: the manifest that it holds has the hash {side.sha256[:8]}"
        for side in (before, after)
        for tag in side.moved_tags
    ]
    notes += _notes(before, after, comparable, shared, same_game, len(compared))
    return Comparison(before, after, changes_between(before, after), values, tuple(notes))


def _compared(
    pair: ValueChange,
    wide: float | None,
    narrow: float | None,
    p_value: float | None,
    p_on_test: float | None,
) -> ValueChange:
    low, high = interval(pair.difference, wide)
    test_low, test_high = interval(pair.difference, narrow)
    return replace(
        pair,
        finding=_finding(p_value, p_on_test),
        ci_low=low,
        ci_high=high,
        p_value=p_value,
        on_test_low=test_low,
        on_test_high=test_high,
        on_test_p_value=p_on_test,
    )


def _finding(p_value: float | None, on_test: float | None) -> str:
    if p_value is None:
        return UNKNOWN
    if p_value < LEVEL:
        return BEYOND
    return ON_TEST if on_test is not None and on_test < LEVEL else WITHIN


def _pairs(before: TrackedValuation, after: TrackedValuation) -> list[ValueChange]:
    """All providers by their present names, in order, not compared yet."""
    old, new, names = before.by_provider, after.by_provider, renamed(before, after)
    former = {present: name for name, present in names.items()}
    pairs = []
    for name in sorted({*new, *(old.keys() - names.keys())}):
        sides = old.get(former.get(name, name)), new.get(name)
        finding = NOT_COMPARED
        if sides[0] is None and not is_present(before, name):
            finding = NEW
        elif sides[1] is None and not is_present(after, name):
            finding = GONE
        pairs.append(ValueChange(name, former.get(name, ""), *sides, finding))
    return pairs


def _same_test(before: TrackedValuation, after: TrackedValuation) -> bool:
    was, now = (v.manifest["inputs"].get("data/test.parquet") for v in (before, after))
    return bool(was) and bool(was == now)


def _same_game(before: TrackedValuation, after: TrackedValuation) -> bool:
    """Whether both measured one game of the same players, so that the true values are equal."""
    was, now = before.manifest, after.manifest
    return bool(was.get("game")) and all(was.get(k) == now.get(k) for k in ("game", "players"))


def _same_plan(before: TrackedValuation, after: TrackedValuation) -> bool:
    was, now = before.manifest, after.manifest
    return bool(
        was["players"] == now["players"]
        and was["estimator"]["name"] == now["estimator"]["name"]
        and was["seeds"]["valuation"] == now["seeds"]["valuation"]
    )


def _range(valuation: TrackedValuation) -> float:
    return abs(float(valuation.metrics["u_all"]) - float(valuation.metrics["u_none"]))


def _notes(
    before: TrackedValuation,
    after: TrackedValuation,
    comparable: bool,
    shared: bool,
    same_game: bool,
    count: int,
) -> tuple[str, ...]:
    if before.sha256 == after.sha256:
        return ("both are one and the same valuation",)
    if not comparable:
        return (
            f"values are of {before.utility} before and of {after.utility} after, so they are not "
            "compared",
        )
    notes = [
        f"intervals are of each difference alone; a finding holds over all {count} differences "
        f"together: Holm's method, {LEVEL:.0%} for any false one"
    ]
    if same_game:
        notes.append(
            "both measured the same game, so the true values are equal: a difference is an error "
            "of sampling, and the test set has no part in it"
        )
    elif shared:
        notes.append(
            "both share the test set: its error is counted as if independent, which makes "
            f"intervals too wide rather than too narrow; “{ON_TEST}” leaves it out"
        )
    else:
        notes.append("the test sets differ: their errors are taken as independent")
    for letter, side in (("A", before), ("B", after)):
        if not same_game and all(entry.test_error is None for entry in side.providers):
            notes.append(f"{letter} records no error of the test set, so intervals lack that part")
    if _same_plan(before, after):
        notes.append(
            "both measured coalitions of one plan or a continuation of it: sampling errors are in "
            "part the same, and are counted as if independent"
        )
    notes.append(
        "not counted: how far unlearning is from retraining (fidelity), and what another training "
        "of the model gives (`unshapley seeds` measures it)"
    )
    return tuple(notes)


def describe(comparison: Comparison) -> dict[str, Any]:
    """A comparison for a program."""
    sides = {"before": comparison.before, "after": comparison.after}
    return {
        **{side: _side(valuation) for side, valuation in sides.items()},
        "changes": [asdict(change) for change in comparison.changes],
        "values": table(comparison),
        "findings": comparison.counts,
        "notes": list(comparison.notes),
    }


def _side(valuation: TrackedValuation) -> dict[str, Any]:
    commit = valuation.commit
    return {
        "name": valuation.name,
        "commit": commit and commit.id,
        "date": commit and commit.date.isoformat(),
        "author": commit and commit.author,
        "manifest": valuation.sha256,
        "utility": valuation.utility,
        "u_all": valuation.metrics["u_all"],
        "u_none": valuation.metrics["u_none"],
        "unlearner": valuation.method,
        "fidelity": valuation.manifest["fidelity"]["status"],
        "grade": valuation.manifest["fidelity"].get("grade"),
    }


def table(comparison: Comparison) -> list[dict[str, Any]]:
    """One row for each provider, with what is known of its value before and after."""
    return [_row(change) for change in comparison.values]


def _row(change: ValueChange) -> dict[str, Any]:
    row: dict[str, Any] = {"provider": change.provider, "former": change.former}
    sides = {"before": change.before, "after": change.after}
    for name in ("value", "std_error", "rank"):
        for side, entry in sides.items():
            row[f"{name}_{side}"] = entry and getattr(entry, name)
    row["difference"] = change.difference
    return row | {k: v for k, v in vars(change).items() if k not in (*row, *sides)}
