"""The drop folder, to which providers deliver tables. File names are provider names.

A delivery is checked and copied to data/raw. It is removed from the drop folder only when a commit
contains it, so that nothing is lost. A file that is refused stays in the folder, and the user gets
the reason.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from flows.refresh_steps.rawtables import (
    by_provider,
    committed_md5,
    dvc_file,
    md5,
    provider_of,
    recorded_md5,
    relative,
    tables,
)
from flows.refresh_steps.repository import Repository
from flows.runtime.projects import check_drop_folder
from unshapley.config import PrepareSettings
from unshapley.data.columns import Columns
from unshapley.data.names import provider_name
from unshapley.data.reading import SUFFIXES, RawTable, read_file
from unshapley.data.sources import is_table
from unshapley.data.transforming import transformed
from unshapley.errors import InputError, UnshapleyError
from unshapley.project import Project


@dataclass
class Drop:
    """A drop folder; refused: reason by name of the file that stays in it."""

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
    check_drop_folder(folder)
    if project.data.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise InputError(
            "is inside the project's data", where=folder, do="name a folder outside of data/"
        )


def take(project: Project, repo: Repository, drop: Drop, prepare: PrepareSettings) -> list[str]:
    """Copy new deliveries to data/raw, and add them to DVC; return their names."""
    with _incoming(project) as incoming:
        copies = _copies(drop, incoming)
        targets = {copy: project.raw / copy.name for copy in copies}
        changed = [c for c, t in targets.items() if not t.is_file() or md5(c) != md5(t)]
        fitting = _fitting(project, drop, changed, Columns(prepare))
        for copy in fitting:
            copy.replace(targets[copy])
    taken = [targets[copy] for copy in fitting]
    # what a killed refresh copied replaces the other formats too
    left = [t for c, t in targets.items() if c not in changed and not committed_md5(repo, t)]
    _remove_other_formats(project, repo, [*taken, *left])
    if taken:
        repo.dvc("add", *(relative(repo, table) for table in taken))
    return [table.name for table in taken]


def uncommitted(project: Project, repo: Repository, drop: Drop) -> list[Path]:
    """Files in the folder that were copied to data/raw, but are not in the current commit."""
    files = _files_in_raw(project, drop)
    return [f for f in files if committed_md5(repo, project.raw / f.name) != md5(f)]


def clear(project: Project, repo: Repository, drop: Drop) -> None:
    """Delete the files from the folder that the current commit contains."""
    for file in _files_in_raw(project, drop):
        if committed_md5(repo, project.raw / file.name) == md5(file):
            try:
                file.unlink()
            except OSError as error:  # of another user, in a folder with the sticky bit
                drop.refuse(file, f"is valued, and this user may not remove it: {error.strerror}")


def _files_in_raw(project: Project, drop: Drop) -> list[Path]:
    files = [f for f in drop.files() if f.name not in drop.refused and is_table(f.name)]
    return [f for f in files if recorded_md5(project.raw / f.name) == md5(f)]


def _problem_of_name(file: Path, names: Counter[str]) -> str:
    if not file.is_file() or file.is_symlink():
        return "is not a regular file"
    if not is_table(file.name):
        return f"the file name must end in one of {', '.join(SUFFIXES)}"
    try:
        provider_name(file.stem)
    except InputError as error:
        return error.what
    if names[provider_of(file)] > 1:
        return f"there are two files of provider {file.stem!r}"
    return ""


@contextmanager
def _incoming(project: Project) -> Iterator[Path]:
    """An empty folder that DVC does not track, for copies of the files as they are now."""
    folder = project.results.parent / "incoming"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copies(drop: Drop, folder: Path) -> list[Path]:
    """Copies of the deliveries in `folder`; one whose name cannot be is refused."""
    names = Counter(provider_of(file) for file in drop.files())
    copies = []
    for file in drop.files():
        problem = drop.refused.get(file.name) or _problem_of_name(file, names)
        if problem:
            drop.refuse(file, problem)
            continue
        try:
            copies.append(Path(shutil.copyfile(file, folder / file.name)))
        except OSError as error:
            drop.refuse(file, f"cannot be read: {error.strerror}")
    return copies


def _fitting(project: Project, drop: Drop, changed: Sequence[Path], columns: Columns) -> list[Path]:
    """Those of the changed tables that fit the tables which stay, and each other; refuse others."""
    if not changed:
        return []
    replaced = {provider_of(copy) for copy in changed}
    for table in tables(project):
        if provider_of(table) not in replaced:
            with suppress(InputError):  # it is for stage prepare to report
                columns = columns.joined(_rows(table, columns.settings))
    fitting = []
    for copy in changed:
        try:
            columns = columns.joined(_rows(copy, columns.settings))
        except (UnshapleyError, OSError) as error:
            drop.refuse(copy, _reason(error))
            continue
        fitting.append(copy)
    return fitting


def _rows(file: Path, settings: PrepareSettings) -> RawTable:
    table = read_file(file, settings.read)
    if not table.rows.num_rows:
        raise InputError("holds no rows")
    return transformed(replace(table, where=file.stem), settings)


def _remove_other_formats(project: Project, repo: Repository, targets: Sequence[Path]) -> None:
    """Remove tables in another format (CSV or parquet), which these replace."""
    present = by_provider(project.raw.iterdir()) if targets else {}
    others = [other for t in targets for other in present[provider_of(t)] if other != t]
    for other in others:
        other.unlink(missing_ok=True)
    tracked = [relative(repo, dvc_file(other)) for other in others if dvc_file(other).exists()]
    if tracked:
        repo.dvc("remove", *tracked)


def _reason(error: Exception) -> str:
    if isinstance(error, InputError):
        return error.what if not error.expected else f"{error.what}; expected: {error.expected}"
    return str(error)
