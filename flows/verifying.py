"""A valuation on disk against its manifest, and the manifest against git."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unshapley.chain import MANIFEST, broken_links
from unshapley.environment import git
from unshapley.errors import UnshapleyError
from unshapley.files import read_json
from unshapley.integrity import Altered, altered
from unshapley.project import Project


class AlteredError(UnshapleyError):
    """Files are not those that were recorded."""

    exit_code = 4


class UncheckableError(UnshapleyError):
    """What a check needs is not there."""

    exit_code = 5


def verify_files(place: Project) -> tuple[Mapping[str, Any], list[Altered]]:
    """The manifest, and every file that is not as it, or git's last commit, has it.

    Git vouches for the manifest and for what else it tracks of what is read. Raises
    `UncheckableError` where no commit holds the manifest.
    """
    path = place.valuation / MANIFEST
    if not path.is_file():
        raise UncheckableError(
            f"{place.relative(path)}: there is no valuation\n"
            "  do: run `unshapley run` (or `dvc pull`) first"
        )
    changed = _changed(place)
    name = place.relative(path)
    if name in changed:  # what it says cannot be relied on, but its files may tell more
        problem = "differs from git's last commit: edited, or a new valuation that is not committed"
        return {}, [Altered(name, problem)]
    manifest = read_json(path, do="restore it with `git checkout`")
    found = altered(place, manifest)
    known = {one.path for one in found}
    read = {"params.yaml", *manifest["inputs"]}
    found += [
        Altered(one, "differs from git's last commit") for one in changed & read if one not in known
    ]
    found += [Altered(name, problem) for problem in broken_links(place.root, place.valuation)]
    return manifest, sorted(found, key=lambda one: one.path)


def _changed(place: Project) -> set[str]:
    """Tracked files under the project that differ from HEAD, by their path in the project."""
    name = place.relative(place.valuation / MANIFEST)
    if git(place.root, "cat-file", "-e", f"HEAD:./{name}") is None:
        raise UncheckableError(
            f"{name}: no commit of git holds it, so nothing vouches for it\n"
            "  do: commit the valuation, then verify it"
        )
    told = git(place.root, "diff", "--name-only", "--relative", "-z", "HEAD")
    return set((told or b"").decode().split("\0")) - {""}
