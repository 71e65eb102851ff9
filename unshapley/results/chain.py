"""The manifests of a project form a chain: each holds the hash of the manifest before it.

Git keeps the manifests. The chain shows whether a manifest was changed or removed afterwards.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unshapley.environment import git
from unshapley.files import canonical_json
from unshapley.results.layout import MANIFEST

PREVIOUS = "previous"


def committed(root: Path, folder: Path) -> bytes | None:
    """The manifest of `folder` in git's last commit; None if the commit has none."""
    return _manifest_at(root, folder, "HEAD")


def predecessor(content: Mapping[str, Any], last: bytes | None) -> str | None:
    """The `previous` entry of a new manifest: the hash of the manifest `last`, None for the first.

    If the new manifest equals `last` in all else, it gets the same `previous` entry, so that
    repeating a valuation does not change its bytes.
    """
    if last is None:
        return None
    last_content = _read(last)
    same_predecessor = {**content, PREVIOUS: last_content.get(PREVIOUS)}
    if canonical_json(same_predecessor) == canonical_json(last_content):
        previous: str | None = last_content.get(PREVIOUS)
        return previous
    return hashlib.sha256(last).hexdigest()


def committed_before(root: Path, folder: Path) -> dict[str, str]:
    """Hash of each manifest in git's history, with the last commit that changed to it."""
    return {
        hashlib.sha256(manifest).hexdigest(): commit
        for commit in _commits(root, folder)
        if (manifest := _manifest_at(root, folder, commit)) is not None
    }


def broken_links(root: Path, folder: Path) -> Iterator[str]:
    """Problems in the chain of all manifests in git's history, the oldest first.

    A manifest is in order if it holds the hash of an older one, or is a restored older one.
    Manifests at the start of the history without such a hash are older than the chain itself.
    """
    older: set[str] = set()
    chained = False
    for commit in _commits(root, folder):
        manifest = _manifest_at(root, folder, commit)
        if manifest is None:  # this commit removed it
            continue
        manifest_hash = hashlib.sha256(manifest).hexdigest()
        previous = _read(manifest).get(PREVIOUS)
        if older and manifest_hash not in older and previous not in older and (chained or previous):
            problem = "names no predecessor"
            if previous:
                problem = f"names {previous[:12]}… as its predecessor, which no older commit holds"
            yield f"in commit {commit[:8]} {problem}"
        chained = chained or previous is not None
        older.add(manifest_hash)


def _commits(root: Path, folder: Path) -> list[str]:
    """Commits that changed the manifest, the oldest first."""
    path = (folder / MANIFEST).relative_to(root).as_posix()
    commits = git(root, "log", "--reverse", "--topo-order", "--format=%H", "--", path) or b""
    return commits.decode().split()


def _read(manifest: bytes) -> dict[str, Any]:
    """The content of a manifest; empty if the bytes are not a JSON object."""
    try:
        content = json.loads(manifest)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _manifest_at(root: Path, folder: Path, commit: str) -> bytes | None:
    path = (folder / MANIFEST).relative_to(root).as_posix()
    return git(root, "show", f"{commit}:./{path}")
