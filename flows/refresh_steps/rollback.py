"""Back to the commit that is checked out, where nothing could be published of what was new.

Deliveries stay in the drop folder; tables that somebody put into data/raw by hand stay there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.refresh_steps.rawtables import SUFFIXES, pointer, relative
from flows.refresh_steps.repository import Repository
from unshapley.project import Project

OUTPUTS = ("dvc.lock", "data/valuation")
"""What git holds of a valuation, beside the pointers to its tables."""


def put_back(project: Project, repo: Repository, deliveries: Sequence[Path]) -> None:
    """Undo the taking of deliveries: data/raw holds of these providers what the commit says."""
    for table in (project.raw / file.name for file in deliveries):
        # the table first: killed here, its pointer brings it back, and it is put back again
        table.unlink(missing_ok=True)
        if repo.shown(relative(repo, pointer(table))) is None:
            repo.dvc("remove", relative(repo, pointer(table)))
        for suffix in SUFFIXES:
            before = table.with_suffix(suffix)
            name = relative(repo, pointer(before))
            if repo.shown(name) is not None:
                repo.git("checkout", "-q", "HEAD", "--", name)
                repo.dvc("checkout", "--force", name)
    ignored = "data/raw/.gitignore"
    if deliveries and not _new_tables(repo) and repo.shown(ignored) is not None:
        repo.git("checkout", "-q", "HEAD", "--", ignored)  # its lines in the order they had


def restore_outputs(repo: Repository) -> None:
    """Outputs of the stages as the commit has them, as far as they are at hand."""
    there = [name for name in OUTPUTS if repo.asked("ls-tree", "HEAD", "--", name)]
    if "dvc.lock" in there:
        repo.git("checkout", "-q", "HEAD", "--", *there)
        repo.dvc("checkout", "--force", "--allow-missing")


def _new_tables(repo: Repository) -> bool:
    return any(path.startswith("data/raw/") and path.endswith(".dvc") for path in repo.changes())
