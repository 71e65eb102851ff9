"""Return to the current commit if the new tables did not lead to a published valuation.

Deliveries stay in the drop folder; tables that somebody copied into data/raw by hand stay there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.refresh_steps.rawtables import by_provider, dvc_file, provider_of, relative
from flows.refresh_steps.repository import Repository
from unshapley.project import Project

OUTPUTS = ("dvc.lock", "data/valuation")
"""Outputs of a valuation that git tracks, besides the .dvc files of its tables."""
IGNORED = "data/raw/.gitignore"


def undo_deliveries(project: Project, repo: Repository, deliveries: Sequence[Path]) -> None:
    """Restore data/raw for the providers of these deliveries as the current commit has it."""
    if not deliveries:
        return
    delivered = [project.raw / file.name for file in deliveries]
    committed = by_provider(repo.root / name for name in repo.files_in("data/raw"))
    before = [
        relative(repo, dvc_file(table))
        for provider in sorted({provider_of(table) for table in delivered})
        for table in committed.get(provider, ())
    ]
    new = sorted({relative(repo, dvc_file(table)) for table in delivered} - {*before})
    for table in delivered:
        # the tables first: if killed after this line, DVC restores them, and they are undone again
        table.unlink(missing_ok=True)
    if before:
        repo.git("checkout", "-q", "HEAD", paths=before)
    if new:
        repo.dvc("remove", *new)
    if before:
        repo.dvc("checkout", "--force", *before)
    if not _new_tables(repo) and IGNORED in repo.files_in("data/raw"):
        # DVC may have changed the order of its lines
        repo.git("checkout", "-q", "HEAD", "--", IGNORED)


def restore_outputs(repo: Repository) -> None:
    """Restore the outputs of the stages as in the current commit, as far as DVC has them here."""
    committed_outputs = [name for name in OUTPUTS if repo.try_git("ls-tree", "HEAD", "--", name)]
    if "dvc.lock" in committed_outputs:
        repo.git("checkout", "-q", "HEAD", "--", *committed_outputs)
        repo.dvc("checkout", "--force", "--allow-missing")


def _new_tables(repo: Repository) -> bool:
    return any(
        change.path.startswith("data/raw/") and change.path.endswith(".dvc")
        for change in repo.changes()
    )
