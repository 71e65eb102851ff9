"""What must hold after a fault; every check returns what is wrong, in words."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from prefect.results import ResultRecord

from unshapley.files import is_sealed, sha256
from unshapley.project import Project
from unshapley.results.layout import MANIFEST
from unshapley.results.retention import PARTIAL

OBJECT = re.compile(r"[0-9a-f]{30}(\.dir)?")
"""Name of an object in DVC's cache or remote."""
NOT_OURS = (".prefect", ".git", ".dvc")


def hashes(folder: Path, skip: tuple[str, ...] = ()) -> dict[str, str]:
    """Hash of every file of a folder by its name there, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in skip
    }


def whole_results(project: Project) -> dict[str, str]:
    """Hash of each kept result that a run may take over, by name."""
    whole = {}
    for path in project.results.glob("*"):
        try:
            result: Any = ResultRecord.deserialize(path.read_bytes()).result
        except (OSError, ValueError):
            continue
        if is_sealed(result) or path.name.startswith("validate"):
            whole[path.name] = sha256(path)
    return whole


def lost(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Results that were whole before and are not, or not the same, any more."""
    return [f"lost: result {name[:40]}" for name in before if now.get(name) != before[name]]


def different(expected: Mapping[str, Any], outcome: Mapping[str, Any]) -> list[str]:
    """What is not as an undisturbed command leaves it."""
    names = sorted(expected.keys() | outcome.keys())
    return [f"differs: {name}" for name in names if expected.get(name) != outcome.get(name)]


def mixed(project: Project) -> list[str]:
    """Files of a published valuation that are not those of its manifest."""
    path = project.valuation / MANIFEST
    if not path.is_file():
        return []  # counts as absent
    outputs = json.loads(path.read_text())["outputs"]
    present = {n: h for n, h in hashes(project.valuation).items() if n in outputs}
    return [
        f"published but not whole: {name}" for name in outputs if present.get(name) != outputs[name]
    ]


def left(root: Path) -> list[str]:
    """Files that were being written, temporary folders and lock files, after all has ended."""
    found = [
        path
        for path in root.rglob("*")
        if path.relative_to(root).parts[0] not in NOT_OURS
        and (
            PARTIAL.fullmatch(path.name)
            or path.name.startswith(".staged-")
            or path.suffix == ".tmp"
        )
    ]
    own = root / ".unshapley"
    found += [folder for name in ("audit", "incoming") if (folder := own / name).exists()]
    found += [*(root / ".git").glob("*.lock"), *(root / ".git").glob("worktrees/*")]
    return [f"left: {path.relative_to(root)}" for path in found]


def damaged_objects(store: Path) -> list[str]:
    """Objects of a DVC cache or remote whose name is not the hash of their content."""
    objects = [path for path in (store / "files" / "md5").rglob("*") if path.is_file()]
    strange = [p for p in objects if not OBJECT.fullmatch(p.name)]
    named = [p for p in objects if p not in strange]
    wrong = [p for p in named if p.parent.name + p.stem != hashlib.md5(p.read_bytes()).hexdigest()]
    return [f"damaged object: {p.relative_to(store)}" for p in [*strange, *wrong]]


def held_locks(root: Path) -> list[str]:
    """Locks of the project that somebody still holds."""
    held = []
    for path in (root / ".unshapley").glob("*lock"):
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(f"lock held: {path.name}")
    return held


def living(family: list[psutil.Process], seconds: float) -> list[str]:
    """Processes that are still there after so many seconds; they are killed."""
    _, alive = psutil.wait_procs(family, timeout=seconds)
    named = []
    for process in alive:
        try:
            named.append(f"process left: {' '.join(process.cmdline())[:80]}")
            process.kill()
        except psutil.NoSuchProcess:
            continue
    return named


def unlocked_within(root: Path, seconds: float) -> bool:
    """Wait until nobody holds a lock of the project."""
    until = time.monotonic() + seconds
    while held_locks(root):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True
