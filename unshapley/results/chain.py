"""Manifests of a project's valuations as a chain: each holds the hash of its predecessor.

Git keeps them; the chain tells whether one of them was changed later, or taken out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unshapley.environment import git
from unshapley.files import canonical_json

MANIFEST = "manifest.json"
PREVIOUS = "previous"


def committed(root: Path, folder: Path) -> bytes | None:
    """The manifest in `folder` as git's last commit has it; None without one."""
    return _shown(root, folder, "HEAD")


def predecessor(content: Mapping[str, Any], last: bytes | None) -> str | None:
    """Hash of the valuation `last` that a manifest's `content` follows; None for the first.

    The same valuation again follows what the first one did, so that its bytes stay the same.
    """
    if last is None:
        return None
    before = _read(last)
    again = {**content, PREVIOUS: before.get(PREVIOUS)}
    if canonical_json(again) == canonical_json(before):
        found: str | None = before.get(PREVIOUS)
        return found
    return hashlib.sha256(last).hexdigest()


def broken_links(root: Path, folder: Path) -> Iterator[str]:
    """What is wrong with the chain of all manifests in git's history, the oldest first.

    A link holds where a manifest names one of the older ones, or is one of them, brought back.
    Those before the first that names another were written before there was a chain.
    """
    path = (folder / MANIFEST).relative_to(root).as_posix()
    told = git(root, "log", "--reverse", "--topo-order", "--format=%H", "--", path) or b""
    older: set[str] = set()
    chained = False
    for commit in told.decode().split():
        manifest = _shown(root, folder, commit)
        if manifest is None:  # taken out by this commit
            continue
        hashed = hashlib.sha256(manifest).hexdigest()
        named = _read(manifest).get(PREVIOUS)
        if older and hashed not in older and named not in older and (chained or named):
            what = f"names {named[:12]}… as its predecessor" if named else "names no predecessor"
            yield f"in commit {commit[:8]} {what}, which no older commit holds"
        chained = chained or named is not None
        older.add(hashed)


def _read(manifest: bytes) -> dict[str, Any]:
    """Its content; empty where it is no manifest, which then names nobody and equals nothing."""
    try:
        content = json.loads(manifest)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _shown(root: Path, folder: Path, commit: str) -> bytes | None:
    path = (folder / MANIFEST).relative_to(root).as_posix()
    return git(root, "show", f"{commit}:./{path}")
