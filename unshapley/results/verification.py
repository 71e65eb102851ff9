"""A valuation on disk against its manifest, and the manifest against git."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unshapley.environment import git
from unshapley.errors import UncheckableError
from unshapley.files import read_json
from unshapley.project import Project
from unshapley.results.chain import MANIFEST, broken_links
from unshapley.results.integrity import Altered, altered


def verify_files(project: Project) -> tuple[Mapping[str, Any], list[Altered]]:
    """The manifest, and every file that is not as it, or git's last commit, has it.

    Git vouches for the manifest and for what else it tracks of what is read. Raises
    `UncheckableError` where no commit holds the manifest.
    """
    path = project.valuation / MANIFEST
    if not path.is_file():
        raise UncheckableError(
            f"{project.relative(path)}: there is no valuation\n"
            "  do: run `unshapley run` (or `dvc pull`) first"
        )
    changed = _changed(project)
    name = project.relative(path)
    if name in changed:  # what it says cannot be relied on, but its files may tell more
        problem = "differs from git's last commit: edited, or a new valuation that is not committed"
        return {}, [Altered(name, problem)]
    manifest = read_json(path, do="restore it with `git checkout`")
    files = altered(project, manifest)
    known = {file.path for file in files}
    read = {"params.yaml", *manifest["inputs"]}
    files += [Altered(path, "differs from git's last commit") for path in changed & read - known]
    files += [Altered(name, problem) for problem in broken_links(project.root, project.valuation)]
    return manifest, sorted(files, key=lambda file: file.path)


def _changed(project: Project) -> set[str]:
    """Tracked files under the project that differ from HEAD, by their path in the project."""
    name = project.relative(project.valuation / MANIFEST)
    if git(project.root, "cat-file", "-e", f"HEAD:./{name}") is None:
        raise UncheckableError(
            f"{name}: no commit of git holds it, so nothing vouches for it\n"
            "  do: commit the valuation, then verify it"
        )
    paths = git(project.root, "diff", "--name-only", "--relative", "-z", "HEAD")
    return set((paths or b"").decode().split("\0")) - {""}
