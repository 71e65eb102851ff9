"""The valuations of a project over time, each with what changed since the one before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from unshapley.analysis.changes import Change, changes_between, summary
from unshapley.errors import UnshapleyError
from unshapley.project import Project
from unshapley.results.githistory import Commit
from unshapley.results.revisions import Unreadable, valuations, working_tree
from unshapley.results.signatures import Signature
from unshapley.results.signers import signature_here, signatures_until
from unshapley.results.tracked import TrackedValuation

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class HistoryEntry:
    """A valuation in the history; valuation: None where it cannot be read, for this problem.

    changes: since the readable valuation before; None for the first. signature: of its manifest,
    None without one.
    """

    name: str
    commit: Commit | None
    valuation: TrackedValuation | None
    changes: tuple[Change, ...] | None = None
    problem: str = ""
    signature: Signature | None = None

    @property
    def changed(self) -> str:
        """What changed, in a line."""
        if self.problem:
            return self.problem
        changed = "the first" if self.changes is None else summary(self.changes)
        moved = self.valuation.moved_tags if self.valuation else ()
        return "; ".join([*(f"{tag} was moved here" for tag in moved), changed])


def history(
    project: Project, revision: str = "HEAD", *, last: int | None = None, tagged: bool = False
) -> list[HistoryEntry]:
    """The valuations of a revision and its ancestors, the oldest first; then the one that stands in
    the project, if the revision is HEAD and no commit holds it.

    last: only so many of the newest; tagged: only those with a tag; changes are then those since
    the tagged one before. Raises `InputError` as `revisions.valuations` does.
    """
    recorded = valuations(project, revision)
    if tagged:
        recorded = [entry for entry in recorded if entry.commit and entry.commit.tags]
    elif revision == "HEAD":
        recorded += _uncommitted(project, recorded)
    entries = _with_changes(recorded)
    return _with_signatures(project, revision, entries if last is None else entries[-last:])


def _uncommitted(
    project: Project, committed: Sequence[TrackedValuation | Unreadable]
) -> list[TrackedValuation]:
    known = {entry.sha256 for entry in committed if isinstance(entry, TrackedValuation)}
    try:
        present = working_tree(project)
    except UnshapleyError:  # none, or edited: `unshapley verify` is there to tell
        return []
    return [] if present.sha256 in known else [present]


def _with_changes(recorded: Sequence[TrackedValuation | Unreadable]) -> list[HistoryEntry]:
    entries: list[HistoryEntry] = []
    before: TrackedValuation | None = None
    for valuation in recorded:
        if isinstance(valuation, Unreadable):
            name, problem = valuation.commit.name, valuation.problem
            entries.append(HistoryEntry(name, valuation.commit, None, problem=problem))
            continue
        changes = None if before is None else changes_between(before, valuation)
        entries.append(HistoryEntry(valuation.name, valuation.commit, valuation, changes))
        before = valuation
    return entries


def _with_signatures(
    project: Project, revision: str, entries: Sequence[HistoryEntry]
) -> list[HistoryEntry]:
    known = signatures_until(project, revision)

    def signature(entry: HistoryEntry) -> Signature | None:
        if entry.valuation is None:
            return None
        return known.get(entry.valuation.sha256) if entry.commit else signature_here(project)

    return [replace(entry, signature=signature(entry)) for entry in entries]


def describe(entry: HistoryEntry) -> dict[str, Any]:
    """A valuation of the history for a program: who, when, who signed, how good, what changed,
    values.
    """
    commit, valuation = entry.commit, entry.valuation
    content: dict[str, Any] = {
        "name": entry.name,
        "commit": commit and commit.id,
        "date": commit and commit.date.isoformat(),
        "author": commit and commit.author,
        "title": commit and commit.title,
        "tags": list(commit.tags) if commit else [],
        "moved_tags": list(valuation.moved_tags) if valuation else [],
        "problem": entry.problem,
        "signed": str(entry.signature or ""),
        "signature": entry.signature and asdict(entry.signature),
    }
    if valuation is None:
        return content
    return content | {
        "manifest": valuation.sha256,
        "utility": valuation.utility,
        "u_all": valuation.metrics["u_all"],
        "u_none": valuation.metrics["u_none"],
        "providers_valued": len(valuation.manifest["players"]),
        "providers_quarantined": len(valuation.manifest["quarantined"]),
        "unlearner": valuation.method,
        "fidelity": valuation.manifest["fidelity"]["status"],
        "grade": valuation.manifest["fidelity"].get("grade"),
        "changes": None if entry.changes is None else [asdict(change) for change in entry.changes],
        "values": [asdict(provider) for provider in valuation.providers],
    }


SHARED = (
    "name", "commit", "date", "author", "signed", "utility", "u_all", "unlearner", "fidelity",
    "grade",
)  # fmt: skip
OF_PROVIDER = ("provider", "rows", "value", "std_error", "ci_low", "ci_high", "rank", "status")


def history_table(entries: Sequence[HistoryEntry]) -> pd.DataFrame:
    """One row for each valuation and provider: the valuation, what changed, and the value."""
    import pandas as pd

    rows = []
    for entry in entries:
        content = describe(entry)
        shared = {name: content.get(name) for name in SHARED} | {"changed": entry.changed}
        rows += [
            shared | {name: provider[name] for name in OF_PROVIDER}
            for provider in content.get("values", [dict.fromkeys(OF_PROVIDER)])
        ]
    return pd.DataFrame(rows, columns=[*SHARED, "changed", *OF_PROVIDER])
