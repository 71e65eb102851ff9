"""A temporary work tree of a commit beside the user's, of which nothing is touched."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.audit_steps.revision import Revision
from flows.refresh_steps.repository import Repository
from unshapley.project import Project


@contextmanager
def work_tree(project: Project, repo: Repository, revision: Revision) -> Iterator[Path]:
    """Check the commit out in `.unshapley/audit`, and remove it afterwards, also after an error.

    What a killed audit has left is removed first. No hook of the user's runs. Code that the project
    names by import path is looked for in the work tree before the user's own.
    """
    tree = project.root / ".unshapley" / "audit"
    _remove(repo, tree)
    try:
        tree.parent.mkdir(parents=True, exist_ok=True)
        add = ("worktree", "add", "--force", "--quiet", "--detach", str(tree), revision.commit)
        repo.git("-c", "core.hooksPath=/dev/null", *add)
        code = str(tree / revision.folder)
        sys.path.insert(0, code)
        try:
            yield tree
        finally:
            sys.path.remove(code)
    finally:
        _remove(repo, tree)


def _remove(repo: Repository, tree: Path) -> None:
    if tree.exists():
        repo.try_git("worktree", "remove", "--force", "--force", str(tree))
        shutil.rmtree(tree, ignore_errors=True)
