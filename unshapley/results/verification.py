"""Compare a valuation on disk with its manifest, and the manifest with git."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unshapley.environment import git
from unshapley.errors import UncheckableError
from unshapley.files import read_json
from unshapley.project import Project
from unshapley.results.chain import broken_links
from unshapley.results.integrity import Altered, altered_files
from unshapley.results.layout import MANIFEST


def verify_files(project: Project) -> tuple[Mapping[str, Any], list[Altered]]:
    """The manifest, and every file that differs from the manifest or from git's last commit.

    The manifest itself, and inputs that git tracks, must equal git's last commit. If the manifest
    does not, the result is an empty manifest and this one file. Raises `UncheckableError` if no
    commit holds the manifest.
    """
    path = project.valuation / MANIFEST
    if not path.is_file():
        raise UncheckableError(
            f"{project.relative(path)}: there is no valuation\n"
            "  do: run `unshapley run` (or `dvc pull`) first"
        )
    uncommitted = _uncommitted(project)
    name = project.relative(path)
    if name in uncommitted:  # then a comparison with it proves nothing
        problem = "differs from git's last commit: edited, or a new valuation that is not committed"
        return {}, [Altered(name, problem)]
    manifest = read_json(path, do="restore it with `git checkout`")
    files = altered_files(project, manifest)
    altered_paths = {file.path for file in files}
    input_paths = {"params.yaml", *manifest["inputs"]}
    edited_inputs = (uncommitted & input_paths) - altered_paths
    files += [Altered(path, "differs from git's last commit") for path in edited_inputs]
    files += [Altered(name, problem) for problem in broken_links(project.root, project.valuation)]
    return manifest, sorted(files, key=lambda file: file.path)


def _uncommitted(project: Project) -> set[str]:
    """Tracked files under the project that differ from HEAD, by their path in the project."""
    name = project.relative(project.valuation / MANIFEST)
    if git(project.root, "cat-file", "-e", f"HEAD:./{name}") is None:
        raise UncheckableError(
            f"{name}: no commit of git holds it, so nothing proves that it is unchanged\n"
            "  do: commit the valuation, then verify it"
        )
    paths = git(project.root, "diff", "--name-only", "--relative", "-z", "HEAD")
    return set((paths or b"").decode().split("\0")) - {""}
