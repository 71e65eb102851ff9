"""The raw tables of a project, one .dvc file each: what of them DVC does not know yet.

A table that differs from its .dvc file, or has none, is new; unless it is what a pull has left
behind.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from flows.refresh_steps.repository import Repository, read_yaml
from unshapley.errors import InputError
from unshapley.project import Project

SUFFIXES = (".csv", ".parquet")


def md5(path: Path) -> str:
    """Hex MD5 of a file, by which DVC knows it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def tables(project: Project) -> list[Path]:
    """The raw tables on disk."""
    return sorted(p for s in SUFFIXES for p in project.raw.glob(f"[!.]*{s}") if p.is_file())


def pointer(table: Path) -> Path:
    """The .dvc file of a table."""
    return table.with_name(f"{table.name}.dvc")


def pointed(text: str | None) -> str | None:
    """The MD5 that a .dvc file's text states."""
    outs = read_yaml(text).get("outs") or [{}]
    found: str | None = outs[0].get("md5")
    return found


def recorded(table: Path) -> str | None:
    """The MD5 in the table's .dvc file; None where it has none."""
    path = pointer(table)
    return pointed(path.read_text(encoding="utf-8")) if path.is_file() else None


def committed(repo: Repository, table: Path) -> str | None:
    """The MD5 of a table in the commit that is checked out."""
    return pointed(repo.shown(relative(repo, pointer(table))))


def relative(repo: Repository, path: Path) -> str:
    """A path as git names it."""
    return path.relative_to(repo.root).as_posix()


def check_tables(project: Project, repo: Repository) -> None:
    """Raise `InputError` where raw tables are not tracked by DVC one by one."""
    whole = project.data / "raw.dvc"
    if whole.exists():
        raise InputError(
            "tracks the folder as one, so that a table cannot be added to it",
            where=whole,
            expected="one .dvc file a table",
            do="run `dvc remove data/raw.dvc`, then `dvc add data/raw/*.csv`, and commit",
        )
    kept = (repo.asked("ls-files", "data/raw") or "").splitlines()
    in_git = [name for name in kept if name.endswith(SUFFIXES)]
    if in_git:
        raise InputError(
            "is tracked by git",
            where=project.root / in_git[0],
            expected="every raw table tracked by DVC",
            do=f"run `git rm --cached {in_git[0]}`, then `dvc add {in_git[0]}`, and commit",
        )


def settle(project: Project, repo: Repository) -> list[str]:
    """Add what is new to DVC, remove what a pull has left behind; give the names of the new."""
    new = []
    for table in tables(project):
        content, known = md5(table), recorded(table)
        if content == known:
            continue
        if _imported(table) or _left_behind(repo, table, content):
            table.unlink()  # DVC has it; the one that its .dvc file names is pulled
        else:
            new.append(table)
    if new:
        repo.dvc("add", *(relative(repo, table) for table in new))
    return [table.name for table in new]


def update_imports(project: Project, repo: Repository) -> None:
    """Take what `dvc import-url` and `dvc import` have as new at their sources."""
    imports = [p for p in sorted(project.raw.glob("*.dvc")) if _imported(p.with_suffix(""))]
    if imports:
        repo.dvc("update", *(relative(repo, path) for path in imports))


def _imported(table: Path) -> bool:
    path = pointer(table)
    return path.is_file() and "deps" in read_yaml(path.read_text(encoding="utf-8"))


def _left_behind(repo: Repository, table: Path, content: str) -> bool:
    """Whether git moved on and the table did not: an older commit held it, and it is older than its
    .dvc file, if it still has one. What somebody copied here is younger.
    """
    if content not in _history(repo, table):
        return False
    path = pointer(table)
    if not path.is_file():
        return committed(repo, table) is None
    settled = recorded(table) == committed(repo, table)
    return settled and table.stat().st_mtime < path.stat().st_mtime


def _history(repo: Repository, table: Path) -> str:
    """All that the table's .dvc file has ever said up to this commit."""
    name = relative(repo, pointer(table))
    return repo.asked("log", "-m", "--full-history", "-p", "--format=", "--", name) or ""
