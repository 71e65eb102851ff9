"""What runs leave behind in a project, and what of it may go.

Only what can be made again goes: kept results, what killed commands left, and refused valuations. A
recorded valuation is made of what git tracks and of objects in DVC's cache and remotes, and so is
its audit; nothing of these is touched.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from unshapley.environment import git
from unshapley.errors import BusyError, InputError
from unshapley.files import unwritable
from unshapley.project import Project

RESULTS, REFUSED, KILLED = "kept results", "refused valuation", "left by a killed command"
RUNS = "Prefect's record of runs"
PARTIAL = re.compile(r"\.[^/]+\.[0-9a-f]{8}")
"""Names of files that are being written (`files.written_whole`)."""
DAY = 24 * 3600.0


@dataclass(frozen=True)
class Leftover:
    """A file or folder that may go. kind: what it is; size: in bytes; used: when last read or
    written, in seconds since 1970.
    """

    path: Path
    kind: str
    size: int
    used: float


def leftovers(
    project: Project, *, days: float, keep: float | None = None, now: float | None = None
) -> list[Leftover]:
    """What may go from a project in which nothing runs, in the order of paths.

    days: what was not used for so many days goes; keep: of the other results, the least recently
    used go until the rest has at most so many bytes, and Prefect's record of runs goes if it has
    more. Files of killed commands go in any case, but for single ones, which go after a day: a
    command without a lock may be writing them. Raises `InputError` if the folder is no project.
    """
    if not project.params.is_file():
        raise InputError(
            "no project stands here", where=project.params, do="name its folder by --project"
        )
    now = time.time() if now is None else now
    candidates = [
        *_expired(project, now - days * DAY, keep),
        *_killed(project, now - DAY),
    ]
    recorded = _recorded(project)
    return sorted(
        (item for item in candidates if not _is_recorded(item.path, recorded)),
        key=lambda item: item.path,
    )


def remove(project: Project, items: Iterable[Leftover]) -> None:
    """Remove these; `InputError` names the first that cannot be.

    Raises `BusyError` after all else is removed, if a server has Prefect's record of runs open.
    """
    for item in sorted(items, key=lambda item: item.kind == RUNS):
        if item.kind == RUNS:
            _close(item.path)
        try:
            if (item.path / ".git").is_file():  # a work tree, which git keeps a note of
                path = str(item.path.resolve())
                git(project.root, "worktree", "remove", "--force", "--force", path)
            if item.path.is_dir() and not item.path.is_symlink():
                shutil.rmtree(item.path)
            else:
                item.path.unlink(missing_ok=True)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise unwritable(item.path, error) from None


def _close(database: Path) -> None:
    """Bring a database into one file; `BusyError` if another process has it open."""
    connection = sqlite3.connect(database, timeout=0, isolation_level=None)
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        raise BusyError(
            f"{database}: a Prefect server has it open; all else was removed\n"
            "  do: stop the server, or leave the record to it"
        ) from None
    except sqlite3.DatabaseError:  # damaged: nobody can use it
        return
    finally:
        connection.close()


def totals(items: Sequence[Leftover]) -> dict[str, dict[str, int]]:
    """Number and bytes by kind."""
    kinds = dict.fromkeys(item.kind for item in items)
    return {
        kind: {
            "count": sum(item.kind == kind for item in items),
            "bytes": sum(item.size for item in items if item.kind == kind),
        }
        for kind in kinds
    }


def _expired(project: Project, since: float, keep: float | None) -> Iterator[Leftover]:
    results = [_measured(path, RESULTS) for path in _inside(project.results)]
    results.sort(key=lambda item: (-item.used, item.path))
    kept = 0
    for item in results:
        kept += item.size
        if item.used < since or (keep is not None and kept > keep):
            yield item
    if project.untrusted.is_dir():
        refused = _measured(project.untrusted, REFUSED)
        if refused.used < since:
            yield refused
    database = project.root / ".prefect" / "prefect.db"
    if database.is_file():
        files = [_measured(path, RUNS) for path in database.parent.glob("prefect.db*")]
        size, used = sum(file.size for file in files), max(file.used for file in files)
        if used < since or (keep is not None and size > keep):
            yield Leftover(database, RUNS, size, used)


def _killed(project: Project, since: float) -> Iterator[Leftover]:
    own = project.results.parent
    folders = [own / "incoming", own / "audit", *project.data.glob(".staged-*")]
    for folder in folders:
        if folder.is_dir():
            yield _measured(folder, KILLED)
    for path in (*project.root.glob(".*"), *project.data.rglob(".*")):
        if PARTIAL.fullmatch(path.name) and path.is_file() and ".staged-" not in str(path.parent):
            item = _measured(path, KILLED)
            if item.used < since:
                yield item


def _inside(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _measured(path: Path, kind: str) -> Leftover:
    inside = [] if path.is_symlink() or path.is_file() else path.rglob("*")
    files = [file.lstat() for file in inside if file.is_symlink() or not file.is_dir()]
    if path.is_symlink() or path.is_file():
        files = [path.lstat()]
    states = files or [path.lstat()]
    # looking into a folder is no use of it
    used = max(max(state.st_mtime, state.st_atime if files else 0.0) for state in states)
    return Leftover(path, kind, sum(state.st_size for state in states), used)


def _recorded(project: Project) -> set[Path]:
    """What git or DVC tracks: files, and files or folders that are outputs."""
    tracked = (git(project.root, "ls-files", "-z") or b"").decode(errors="surrogateescape")
    paths = {project.root / name for name in tracked.split("\0") if name}
    lock = project.root / "dvc.lock"
    content = yaml.safe_load(lock.read_text(encoding="utf-8")) if lock.is_file() else {}
    stages: Mapping[str, Any] = (content or {}).get("stages", {})
    outputs = {out["path"] for stage in stages.values() for out in stage.get("outs", ())}
    tables = {file.with_suffix("") for file in project.data.rglob("*.dvc")}
    return paths | {project.root / path for path in outputs} | tables


def _is_recorded(path: Path, recorded: set[Path]) -> bool:
    """Whether this path is recorded, or lies in or above something that is."""
    above = any(path in other.parents for other in recorded)
    return above or not recorded.isdisjoint({path, *path.parents})
