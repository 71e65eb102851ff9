"""A folder where deliveries land: tables named after their providers, checked, then taken.

A file is taken by copying it: it leaves the folder when a commit holds it, so that nothing is lost
on the way. A file that cannot be taken stays, with the reason told.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from flows.refresh_steps.rawtables import (
    SUFFIXES,
    committed,
    md5,
    pointer,
    recorded,
    relative,
    tables,
)
from flows.refresh_steps.repository import Repository
from unshapley.config import PrepareSettings
from unshapley.data.encoding import encode
from unshapley.data.tables import read_table
from unshapley.errors import InputError, UnshapleyError
from unshapley.project import Project

RESERVED = ("test", "reference")
NAME = re.compile(r"\w[\w .+-]*")


@dataclass
class Drop:
    """A drop folder, and why some of its files are not taken, by name."""

    folder: Path
    refused: dict[str, str] = field(default_factory=dict)

    def files(self) -> list[Path]:
        """What lies there, but for hidden files, which may still be arriving."""
        return sorted(p for p in self.folder.iterdir() if not p.name.startswith("."))

    def refuse(self, file: Path, reason: str) -> None:
        self.refused[file.name] = reason


def check_drop(project: Project, folder: Path, prepare: PrepareSettings) -> None:
    """Raise `InputError` for a folder that nothing can be taken from."""
    if prepare.source != "files":
        raise InputError(
            f"prepare.source is {prepare.source}, which takes no files",
            where=project.params,
            expected="prepare.source: files",
        )
    if not folder.is_dir():
        raise InputError("is no folder", where=folder, do="make it, or name another one")
    if project.data.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise InputError(
            "lies in the project's data", where=folder, do="name a folder outside of data/"
        )


def take(project: Project, repo: Repository, drop: Drop, label: str, task: str) -> list[str]:
    """Bring what is new in the folder into data/raw and DVC; give the names of these files."""
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
            known = _fitting(known, file.stem, read_table(copy), label, task)
        except (UnshapleyError, OSError) as error:
            drop.refuse(file, _reason(error))
            continue
        _replace_others(repo, target)
        copy.replace(target)
        taken.append(file.name)
    if taken:
        repo.dvc("add", *(f"data/raw/{name}" for name in taken))
    return taken


def uncommitted(project: Project, repo: Repository, drop: Drop) -> list[Path]:
    """Files of the folder that stand in data/raw as they are here, but in no commit."""
    return [f for f in _standing(project, drop) if committed(repo, project.raw / f.name) != md5(f)]


def clear(project: Project, repo: Repository, drop: Drop) -> None:
    """Remove from the folder what the commit holds."""
    for file in _standing(project, drop):
        if committed(repo, project.raw / file.name) == md5(file):
            file.unlink()


def _standing(project: Project, drop: Drop) -> list[Path]:
    files = [f for f in drop.files() if f.name not in drop.refused and f.suffix in SUFFIXES]
    return [f for f in files if recorded(project.raw / f.name) == md5(f)]


def _problem_of_name(file: Path, stems: Counter[str]) -> str:
    if not file.is_file() or file.is_symlink():
        return "is no file"
    if file.suffix not in SUFFIXES:
        return f"ends neither in {' nor in '.join(SUFFIXES)}"
    if not NAME.fullmatch(file.stem):
        return "its name is none for a provider: letters, digits, space, _ . + - are"
    if file.stem in RESERVED:
        return f"a provider cannot be called {file.stem!r}"
    if stems[file.stem] > 1:
        return f"provider {file.stem!r} lies here twice"
    return ""


def _snapshot(project: Project, file: Path) -> Path:
    """A copy of the file as it is now, outside of what DVC hashes."""
    folder = project.results.parent / "incoming"
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(file, folder / file.name))


def _fitting(
    known: dict[str, pd.DataFrame], provider: str, frame: pd.DataFrame, label: str, task: str
) -> dict[str, pd.DataFrame]:
    """The known tables with this one; `InputError` where it does not fit them."""
    others = {name: table for name, table in known.items() if name != provider}
    if frame.empty:
        raise InputError("holds no rows")
    together = {**others, provider: frame}
    encode(together, label, task)
    return together


def _replace_others(repo: Repository, target: Path) -> None:
    """Take away the provider's table of the other format, which this one replaces."""
    for suffix in SUFFIXES:
        other = target.with_suffix(suffix)
        if other != target and (other.exists() or pointer(other).exists()):
            other.unlink(missing_ok=True)
            if pointer(other).exists():
                repo.dvc("remove", relative(repo, pointer(other)))


def _reason(error: Exception) -> str:
    if isinstance(error, InputError):
        return error.what if not error.expected else f"{error.what}; expected: {error.expected}"
    return str(error)
