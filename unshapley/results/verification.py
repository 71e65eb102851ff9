"""Compare a valuation on disk with its manifest, and the manifest with git."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unshapley.environment import git
from unshapley.errors import UncheckableError
from unshapley.files import read_json
from unshapley.project import Project
from unshapley.results.chain import PREVIOUS, broken_links, committed, committed_before
from unshapley.results.integrity import Altered, altered_files
from unshapley.results.layout import MANIFEST

DO = "restore it with `git checkout`"
SHOWN = 6
"""Uncommitted files that a note names."""


@dataclass(frozen=True)
class Verification:
    """The manifest that was checked, the files that are not as it or git has recorded them, and a
    note where all is whole but git's last commit does not hold it.
    """

    manifest: Mapping[str, Any]
    altered: list[Altered]
    note: str = ""


def verify_files(project: Project) -> Verification:
    """Compare every file of a valuation with its manifest, and the manifest with git's last commit.

    A manifest that differs from the last commit is one of three things. A new valuation names the
    committed manifest as its predecessor, and a restored one stands in an older commit: both are
    checked against themselves. Any other was edited: files are then compared with the manifest that
    is committed. Raises `UncheckableError` if there is no valuation, or no commit that could ever
    vouch for it.
    """
    path = project.valuation / MANIFEST
    name = project.relative(path)
    if not path.is_file():
        raise UncheckableError(
            f"{name}: there is no valuation\n  do: run `unshapley run` (or `dvc pull`) first"
        )
    last, uncommitted = committed(project.root, project.valuation), _uncommitted(project)
    if last is not None and name not in uncommitted:
        return _committed(project, read_json(path, do=DO), uncommitted)
    content = path.read_bytes()
    origin = _origin(project, content, last)
    if origin:
        manifest = read_json(path, do=DO)
        altered = altered_files(project, manifest)
        changed = sorted({name, *uncommitted})
        names = f"{', '.join(changed[:SHOWN])}{' …' if len(changed) > SHOWN else ''}"
        note = f"{origin}, whole and true to its manifest; commit it, for git to vouch for: {names}"
        return Verification(manifest, altered, "" if altered else note)
    assert last is not None
    manifest = json.loads(last)
    edited = Altered(name, "was edited: it is neither the committed one nor one that follows it")
    files = [edited, *altered_files(project, manifest)]
    return Verification(manifest, sorted(files, key=lambda file: file.path))


def _committed(
    project: Project, manifest: Mapping[str, Any], uncommitted: set[str]
) -> Verification:
    """What differs from a manifest that git's last commit holds, or from that commit."""
    files = altered_files(project, manifest)
    input_paths = {"params.yaml", *manifest["inputs"]}
    edited_inputs = (uncommitted & input_paths) - {file.path for file in files}
    files += [Altered(path, "differs from git's last commit") for path in edited_inputs]
    name = project.relative(project.valuation / MANIFEST)
    files += [Altered(name, problem) for problem in broken_links(project.root, project.valuation)]
    return Verification(manifest, sorted(files, key=lambda file: file.path))


def _origin(project: Project, content: bytes, last: bytes | None) -> str:
    """What a manifest that the last commit does not hold is; empty if it was edited.

    Raises `UncheckableError` where no commit holds it, and none ever will tell.
    """
    before = committed_before(project.root, project.valuation)
    commit = before.get(hashlib.sha256(content).hexdigest())
    if last is not None and commit:
        return f"the valuation of commit {commit[:8]}, restored and not committed again"
    try:
        previous = json.loads(content).get(PREVIOUS)
    except (ValueError, AttributeError):
        previous = ""
    if last is not None:
        is_new = previous == hashlib.sha256(last).hexdigest()
        return "a new valuation, not committed yet" if is_new else ""
    if before or previous is not None or git(project.root, "rev-parse", "--git-dir") is None:
        raise UncheckableError(
            f"{project.relative(project.valuation / MANIFEST)}: no commit of git holds it, so "
            "nothing proves that it is unchanged\n  do: commit the valuation, then verify it"
        )
    return "the first valuation, not committed yet"


def _uncommitted(project: Project) -> set[str]:
    """Tracked files under the project that differ from HEAD, by their path in the project."""
    paths = git(project.root, "diff", "--name-only", "--relative", "-z", "HEAD")
    return set((paths or b"").decode().split("\0")) - {""}
