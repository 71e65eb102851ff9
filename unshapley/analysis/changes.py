"""What changed between two valuations: whose rows, model, parameters, code, environment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unshapley.results.integrity import flat
from unshapley.results.tracked import TrackedValuation

DATA, MODEL, PARAMETERS, METHOD = "data", "model", "parameters", "method"
CODE, ENVIRONMENT, FIDELITY = "code", "environment", "fidelity"
KINDS = (DATA, MODEL, PARAMETERS, METHOD, CODE, ENVIRONMENT, FIDELITY)
"""What can change, in the order in which it is told."""
PARTITIONS, CURVATURE, WEIGHTS = "data/partitions/", "data/curvature/", "data/model/"
SETS = {
    "data/test.parquet": "test set",
    "data/reference.parquet": "reference set",
    "data/schema.json": "schema",
}
ABSENT = "absent"
"""State of a setting that is not there."""
SHOWN = 3
"""Most items of a kind that a summary names."""


@dataclass(frozen=True)
class Change:
    """Something that differs between two valuations.

    before, after: empty where there is nothing to say; `absent` for a setting that is not there,
    perhaps as that version of unshapley does not know it.

    kind: one of `KINDS`; item: what it is, for example `rows of form-03`.
    """

    kind: str
    item: str
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        if not self.before and not self.after:
            return self.item
        return f"{self.item}: {self.before} → {self.after}"


def changes_between(before: TrackedValuation, after: TrackedValuation) -> tuple[Change, ...]:
    """All that differs in what the two valuations were made of, and how, by `KINDS`."""
    return (
        *_data(before, after),
        *_model(before.manifest["inputs"], after.manifest["inputs"]),
        *_settings(PARAMETERS, before.manifest["config"], after.manifest["config"]),
        *_method(before, after),
        *_code(before.manifest, after.manifest),
        *_environment(before.manifest, after.manifest),
        *_entry(FIDELITY, "check", before.fidelity, after.fidelity),
    )


def renamed(before: TrackedValuation, after: TrackedValuation) -> dict[str, str]:
    """New name by old name of providers whose rows are the same, byte for byte."""
    new = [name for name in _only(after, before) if not is_present(before, name)]
    by_rows = {_partition(after, name): name for name in new}
    by_rows.pop(None, None)
    names = {}
    for old in _only(before, after):
        rows = _partition(before, old)
        if rows in by_rows and not is_present(after, old):
            names[old] = by_rows.pop(rows)
    return names


def is_present(valuation: TrackedValuation, provider: str) -> bool:
    """Whether a provider's rows are there, also if it is not among those that are valued."""
    return provider in valuation.by_provider or _partition(valuation, provider) is not None


def summary(changes: Sequence[Change]) -> str:
    """The changes in a line: kinds, with the first items of each, those known to both first."""
    parts = []
    ordered = sorted(changes, key=lambda change: ABSENT in (change.before, change.after))
    for kind in KINDS:
        items = [change.item for change in ordered if change.kind == kind]
        if items and kind in (CODE, FIDELITY):
            parts.append(kind)
        elif items:
            parts.append(f"{kind} ({', '.join(items[:SHOWN])}{' …' if len(items) > SHOWN else ''})")
    return "; ".join(parts) or "nothing"


def _data(before: TrackedValuation, after: TrackedValuation) -> Iterator[Change]:
    yield from _who(before, after)
    yield from _rows(before, after)
    was, now = before.manifest["quarantined"], after.manifest["quarantined"]
    for name in sorted(now.keys() - was.keys()):
        yield Change(DATA, f"{name} is quarantined ({now[name]})")
    for name in sorted((was.keys() - now.keys()) & after.by_provider.keys()):
        yield Change(DATA, f"{name} is no longer quarantined")
    yield from _files(DATA, SETS, before, after)
    suites = _names(before, after, "data/expectations/")
    yield from _files(DATA, {name: f"expectations {name[18:-5]}" for name in suites}, before, after)


def _rows(before: TrackedValuation, after: TrackedValuation) -> Iterator[Change]:
    """Whose rows differ, also of those who are not valued."""
    partitions = _names(before, after, PARTITIONS)
    named = {path.removeprefix(PARTITIONS).removesuffix(".parquet") for path in partitions}
    old, new = before.by_provider, after.by_provider
    for name in sorted({*old, *new, *named}):
        hashes = _partition(before, name), _partition(after, name)
        counts = [side[name].rows if name in side else None for side in (old, new)]
        if None not in counts and counts[0] != counts[1]:
            yield Change(DATA, f"rows of {name}", *(f"{count} rows" for count in counts))
        elif None not in hashes and hashes[0] != hashes[1]:
            yield Change(DATA, f"rows of {name}")


def _who(before: TrackedValuation, after: TrackedValuation) -> Iterator[Change]:
    same = renamed(before, after)
    for old, new in sorted(same.items()):
        yield Change(DATA, f"{old} is now called {new} (the same rows)")
    lost = [name for name in _only(before, after) if name not in same]
    come = [name for name in _only(after, before) if name not in same.values()]
    for name in [name for name in lost if is_present(after, name)]:
        yield Change(DATA, f"{name} is no longer valued")
        lost.remove(name)
    for name in [name for name in come if is_present(before, name)]:
        yield Change(DATA, f"{name} is valued now")
        come.remove(name)
    for name in lost:
        alike = _alike(name, come)
        yield Change(DATA, f"{name} is gone" + (f" (perhaps now called {alike})" if alike else ""))
    for name in come:
        yield Change(DATA, f"{name} is new")


def _alike(name: str, others: Iterable[str]) -> str | None:
    """A name that differs from this one in case, spaces and signs only."""
    return next((other for other in others if _plain(other) == _plain(name)), None)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+|(?<=\D)0+(?=\d)", "", name).casefold()


def _only(these: TrackedValuation, others: TrackedValuation) -> list[str]:
    return sorted(these.by_provider.keys() - others.by_provider.keys())


def _partition(valuation: TrackedValuation, provider: str) -> str | None:
    hashed: str | None = valuation.manifest["inputs"].get(f"{PARTITIONS}{provider}.parquet")
    return hashed


def _model(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    def changed(*names: str) -> bool:
        both = {name for name in {*before, *after} if name.startswith(names)}
        return any(before.get(name) != after.get(name) for name in both)

    if changed(f"{WEIGHTS}checkpoint"):
        yield Change(MODEL, "weights")
    if changed(f"{WEIGHTS}initialisation"):
        yield Change(MODEL, "initial weights")
    if changed(CURVATURE):
        yield Change(MODEL, "statistics")


def _method(before: TrackedValuation, after: TrackedValuation) -> Iterator[Change]:
    was, now = before.manifest, after.manifest
    if _unlearner(before) == _unlearner(after):
        yield from _entry(METHOD, "unlearner", before.method, after.method)
    yield from _entry(METHOD, "estimator", was["estimator"]["name"], now["estimator"]["name"])
    yield from _entry(
        METHOD, "coalitions", was["coalitions"]["measured"], now["coalitions"]["measured"]
    )


def _unlearner(valuation: TrackedValuation) -> str:
    return str(valuation.manifest["config"]["valuation"]["unlearner"])


def _code(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    was, now = before["code"], after["code"]
    yield from _entry(CODE, "version", was.get("version"), now.get("version"))
    if was.get("sources") != now.get("sources"):
        commits = [_commit_of(code) for code in (was, now)]
        yield Change(CODE, "sources", *commits)
    old, new = before.get("own_utilities") or {}, after.get("own_utilities") or {}
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield Change(CODE, f"source of utility {name}")


def _commit_of(code: Mapping[str, Any]) -> str:
    commit = str(code["commit"])[:8] if code.get("commit") else "no commit"
    return f"{commit} with changes" if code.get("dirty") else commit


def _environment(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    yield from _settings(ENVIRONMENT, before["versions"], after["versions"])
    was, now = ({**m["numerics"], "sources": None, "torch": None} for m in (before, after))
    yield from _settings(ENVIRONMENT, was, now)


def _settings(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    was, now = ({k: v for k, v in flat(side).items() if v != {}} for side in (before, after))
    for key in sorted({*was, *now}):
        if key not in was:
            yield Change(kind, key, ABSENT, _text(now[key]))
        elif key not in now:
            yield Change(kind, key, _text(was[key]), ABSENT)
        else:
            yield from _entry(kind, key, was[key], now[key])


def _entry(kind: str, item: str, before: Any, after: Any) -> Iterator[Change]:
    if before != after:
        yield Change(kind, item, _text(before), _text(after))


def _text(value: Any) -> str:
    return "none" if value is None else str(value)


def _names(before: TrackedValuation, after: TrackedValuation, folder: str) -> list[str]:
    both = {*before.manifest["inputs"], *after.manifest["inputs"]}
    return sorted(name for name in both if name.startswith(folder))


def _files(
    kind: str, names: Mapping[str, str], before: TrackedValuation, after: TrackedValuation
) -> Iterator[Change]:
    for path, item in names.items():
        if before.manifest["inputs"].get(path) != after.manifest["inputs"].get(path):
            yield Change(kind, item)
