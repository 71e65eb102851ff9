"""The raw tables of a project: each has its own .dvc file.

A table without a .dvc file, or different from it, is new and has to be added to DVC. The exception
is an outdated table: git has pulled a newer .dvc file, and the table is still the old one.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from flows.refresh_steps.repository import Repository, read_yaml
from unshapley.data.sources import is_table, table_files
from unshapley.errors import InputError
from unshapley.project import Project


def md5(path: Path) -> str:
    """Hex MD5 of a file, as DVC computes it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def tables(project: Project) -> list[Path]:
    """The raw tables on disk, which are those that `prepare` reads."""
    return table_files(project.raw)


def dvc_file(table: Path) -> Path:
    """The .dvc file of a table."""
    return table.with_name(f"{table.name}.dvc")


def table_of(path: Path) -> Path | None:
    """The table that a .dvc file belongs to; None for another file."""
    if path.suffix == ".dvc" and is_table(path.stem):
        return path.with_suffix("")
    return None


def provider_of(table: Path) -> str:
    """Name of the provider of a table, whatever its format."""
    return unicodedata.normalize("NFC", table.stem)


def by_provider(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Tables among these paths, also those of which only the .dvc file is there, by provider."""
    grouped: dict[str, set[Path]] = {}
    for path in paths:
        table = path if is_table(path.name) else table_of(path)
        if table:
            grouped.setdefault(provider_of(table), set()).add(table)
    return {provider: sorted(tables) for provider, tables in grouped.items()}


def md5_in(text: str | None) -> str | None:
    """The MD5 in the text of a .dvc file; None without text or MD5."""
    outs = read_yaml(text).get("outs") or [{}]
    recorded: str | None = outs[0].get("md5")
    return recorded


def recorded_md5(table: Path) -> str | None:
    """The MD5 in the table's .dvc file on disk; None without such a file."""
    path = dvc_file(table)
    return md5_in(path.read_text(encoding="utf-8")) if path.is_file() else None


def committed_md5(repo: Repository, table: Path) -> str | None:
    """The MD5 in the table's .dvc file in the current commit; None without such a file."""
    return md5_in(repo.file_at(relative(repo, dvc_file(table))))


def relative(repo: Repository, path: Path) -> str:
    """A path as git names it."""
    return path.relative_to(repo.root).as_posix()


def check_tables(project: Project, repo: Repository) -> None:
    """Raise `InputError` unless each raw table is tracked by DVC with its own .dvc file."""
    whole = project.data / "raw.dvc"
    if whole.exists():
        raise InputError(
            "tracks the whole folder, so that no single table can be added",
            where=whole,
            expected="one .dvc file for each table",
            do="run `dvc remove data/raw.dvc`, then `dvc add data/raw/*.csv`, and commit",
        )
    git_files = (repo.try_git("ls-files", "data/raw") or "").splitlines()
    in_git = [name for name in git_files if is_table(Path(name).name)]
    if in_git:
        raise InputError(
            "is tracked by git",
            where=project.root / in_git[0],
            expected="every raw table tracked by DVC",
            do=f"run `git rm --cached {in_git[0]}`, then `dvc add {in_git[0]}`, and commit",
        )


def sync_with_dvc(project: Project, repo: Repository) -> list[str]:
    """Add new tables to DVC, and delete outdated ones; return the names of the new tables."""
    new = []
    for table in tables(project):
        content, known = md5(table), recorded_md5(table)
        if content == known:
            continue
        if _is_imported(table) or _is_outdated(repo, table, content):
            table.unlink()  # DVC pulls the version that the .dvc file names
        else:
            new.append(table)
    if new:
        repo.dvc("add", *(relative(repo, table) for table in new))
    return [table.name for table in new]


def update_imports(project: Project, repo: Repository) -> None:
    """Update tables that were imported with `dvc import-url` or `dvc import` from their sources."""
    imports = [p for p in sorted(project.raw.glob("*.dvc")) if _is_imported(p.with_suffix(""))]
    if imports:
        repo.dvc("update", *(relative(repo, path) for path in imports))


def _is_imported(table: Path) -> bool:
    path = dvc_file(table)
    return path.is_file() and "deps" in read_yaml(path.read_text(encoding="utf-8"))


def _is_outdated(repo: Repository, table: Path, content: str) -> bool:
    """Whether git has moved on and the table has not.

    That is so if an older commit held this content, and the table is older than its .dvc file or
    the .dvc file was removed. A table that somebody copied here is newer than its .dvc file.
    """
    if content not in _history(repo, table):
        return False
    path = dvc_file(table)
    if not path.is_file():
        return committed_md5(repo, table) is None
    unchanged = recorded_md5(table) == committed_md5(repo, table)
    return unchanged and table.stat().st_mtime < path.stat().st_mtime


def _history(repo: Repository, table: Path) -> str:
    """All changes of the table's .dvc file up to the current commit, as text."""
    name = relative(repo, dvc_file(table))
    return repo.try_git("log", "-m", "--full-history", "-p", "--format=", "--", name) or ""
