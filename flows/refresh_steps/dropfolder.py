"""The drop folder, to which providers deliver tables. File names are provider names.

A delivery is checked and copied to data/raw. It is removed from the drop folder only when a commit
contains it, so that nothing is lost. A file that is refused stays in the folder, and the user gets
the reason.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from flows.refresh_steps.rawtables import (
    SUFFIXES,
    committed_md5,
    dvc_file,
    md5,
    recorded_md5,
    relative,
    tables,
)
from flows.refresh_steps.repository import Repository
from unshapley.config import PrepareSettings
from unshapley.data.encoding import encode
from unshapley.data.names import provider_name
from unshapley.data.tables import read_table
from unshapley.errors import InputError, UnshapleyError
from unshapley.project import Project


@dataclass
class Drop:
    """A drop folder; refused: reason by name of the file that was not taken."""

    folder: Path
    refused: dict[str, str] = field(default_factory=dict)

    def files(self) -> list[Path]:
        """All entries except hidden files, which may still be arriving."""
        return sorted(p for p in self.folder.iterdir() if not p.name.startswith("."))

    def refuse(self, file: Path, reason: str) -> None:
        self.refused[file.name] = reason


def check_drop(project: Project, folder: Path, prepare: PrepareSettings) -> None:
    """Raise `InputError` if deliveries cannot be taken from the folder."""
    if prepare.source != "files":
        raise InputError(
            f"prepare.source is {prepare.source}, which does not read files",
            where=project.params,
            expected="prepare.source: files",
        )
    if not folder.is_dir():
        raise InputError("is not a folder", where=folder, do="create it, or name another one")
    if project.data.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise InputError(
            "is inside the project's data", where=folder, do="name a folder outside of data/"
        )


def take(project: Project, repo: Repository, drop: Drop, label: str, task: str) -> list[str]:
    """Copy new deliveries to data/raw, and add them to DVC; return their names."""
    taken = []
    known: dict[str, pd.DataFrame] | None = None
    stems = Counter(file.stem for file in drop.files())
    for file in drop.files():
        target = project.raw / file.name
        problem = _problem_of_name(file, stems)
        if problem or file.name in drop.refused:
            drop.refused.setdefault(file.name, problem)
            continue
        try:
            copy = _snapshot(project, file)
            if target.is_file() and md5(copy) == md5(target):
                copy.unlink()
                continue
            if known is None:
                known = {path.stem: read_table(path) for path in tables(project)}
            known = _with_table(known, file.stem, read_table(copy), label, task)
        except (UnshapleyError, OSError) as error:
            drop.refuse(file, _reason(error))
            continue
        _remove_other_format(repo, target)
        copy.replace(target)
        taken.append(file.name)
    if taken:
        repo.dvc("add", *(f"data/raw/{name}" for name in taken))
    return taken


def uncommitted(project: Project, repo: Repository, drop: Drop) -> list[Path]:
    """Files in the folder that were copied to data/raw, but are not in the current commit."""
    files = _files_in_raw(project, drop)
    return [f for f in files if committed_md5(repo, project.raw / f.name) != md5(f)]


def clear(project: Project, repo: Repository, drop: Drop) -> None:
    """Delete the files from the folder that the current commit contains."""
    for file in _files_in_raw(project, drop):
        if committed_md5(repo, project.raw / file.name) == md5(file):
            file.unlink()


def _files_in_raw(project: Project, drop: Drop) -> list[Path]:
    files = [f for f in drop.files() if f.name not in drop.refused and f.suffix in SUFFIXES]
    return [f for f in files if recorded_md5(project.raw / f.name) == md5(f)]


def _problem_of_name(file: Path, stems: Counter[str]) -> str:
    if not file.is_file() or file.is_symlink():
        return "is not a regular file"
    if file.suffix not in SUFFIXES:
        return f"the file name must end in {' or '.join(SUFFIXES)}"
    try:
        provider_name(file.stem)
    except InputError as error:
        return error.what
    if stems[file.stem] > 1:
        return f"there are two files of provider {file.stem!r}"
    return ""


def _snapshot(project: Project, file: Path) -> Path:
    """A copy of the file as it is now, in a folder that DVC does not track."""
    folder = project.results.parent / "incoming"
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(file, folder / file.name))


def _with_table(
    known: dict[str, pd.DataFrame], provider: str, frame: pd.DataFrame, label: str, task: str
) -> dict[str, pd.DataFrame]:
    """The known tables and this one; `InputError` if it does not fit the others."""
    others = {name: table for name, table in known.items() if name != provider}
    if frame.empty:
        raise InputError("holds no rows")
    all_tables = {**others, provider: frame}
    encode(all_tables, label, task)
    return all_tables


def _remove_other_format(repo: Repository, target: Path) -> None:
    """Remove the provider's table in the other format (CSV or parquet), which this one replaces."""
    for suffix in SUFFIXES:
        other = target.with_suffix(suffix)
        if other != target and (other.exists() or dvc_file(other).exists()):
            other.unlink(missing_ok=True)
            if dvc_file(other).exists():
                repo.dvc("remove", relative(repo, dvc_file(other)))


def _reason(error: Exception) -> str:
    if isinstance(error, InputError):
        return error.what if not error.expected else f"{error.what}; expected: {error.expected}"
    return str(error)
