"""Return to the current commit if the new tables did not lead to a published valuation.

Deliveries stay in the drop folder; tables that somebody copied into data/raw by hand stay there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.refresh_steps.rawtables import SUFFIXES, dvc_file, relative
from flows.refresh_steps.repository import Repository
from unshapley.project import Project

OUTPUTS = ("dvc.lock", "data/valuation")
"""Outputs of a valuation that git tracks, besides the .dvc files of its tables."""


def undo_deliveries(project: Project, repo: Repository, deliveries: Sequence[Path]) -> None:
    """Restore data/raw for the providers of these deliveries as the current commit has it."""
    for table in (project.raw / file.name for file in deliveries):
        # the table first: if killed after this line, DVC restores it, and it is undone again
        table.unlink(missing_ok=True)
        if repo.file_at(relative(repo, dvc_file(table))) is None:
            repo.dvc("remove", relative(repo, dvc_file(table)))
        for suffix in SUFFIXES:
            committed_table = table.with_suffix(suffix)
            name = relative(repo, dvc_file(committed_table))
            if repo.file_at(name) is not None:
                repo.git("checkout", "-q", "HEAD", "--", name)
                repo.dvc("checkout", "--force", name)
    gitignore = "data/raw/.gitignore"
    if deliveries and not _new_tables(repo) and repo.file_at(gitignore) is not None:
        # DVC may have changed the order of its lines
        repo.git("checkout", "-q", "HEAD", "--", gitignore)


def restore_outputs(repo: Repository) -> None:
    """Restore the outputs of the stages as in the current commit, as far as DVC has them here."""
    committed_outputs = [name for name in OUTPUTS if repo.try_git("ls-tree", "HEAD", "--", name)]
    if "dvc.lock" in committed_outputs:
        repo.git("checkout", "-q", "HEAD", "--", *committed_outputs)
        repo.dvc("checkout", "--force", "--allow-missing")


def _new_tables(repo: Repository) -> bool:
    return any(path.startswith("data/raw/") and path.endswith(".dvc") for path in repo.changes())
