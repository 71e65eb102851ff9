"""Read recorded valuations: those of git's history by revision or tag, or one in a folder.

Only what git tracks of a valuation is read (manifest.json, values.csv, metrics.json), so that a
clone is enough: neither DVC nor its cache is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unshapley.environment import git_problem
from unshapley.errors import InputError, UnshapleyError
from unshapley.project import Project
from unshapley.results.githistory import Commit, list_commits, read_blobs, resolve, with_tags
from unshapley.results.layout import MANIFEST
from unshapley.results.tracked import METRICS, VALUES, TrackedValuation, read_tracked

WORKING_TREE = "working tree"


@dataclass(frozen=True)
class Unreadable:
    """A commit that holds a manifest which cannot be read, and the problem."""

    commit: Commit
    problem: str


def find_valuation(project: Project, name: str) -> TrackedValuation:
    """A valuation by the name that a user gives: a revision or tag of git, else a path.

    The path is that of a manifest, of the folder that holds it, or of a project. Raises
    `InputError` if it is neither, holds no valuation, or one of a newer schema, and `AlteredError`
    if its files are not those that its manifest names.
    """
    commit_id = resolve(project.root, name)
    if commit_id is not None:
        return valuation_at(project, commit_id, name)
    path = Path(name)
    if path.exists():
        return valuation_in(path)
    problem = git_problem(project.root)
    raise InputError(
        "no revision of git, and no path",
        where=name,
        expected="a revision or tag of the project's repository, or the path of a manifest",
        do=f"{problem}; name a path" if problem else "`unshapley history` lists what there is",
    )


def valuation_at(project: Project, commit_id: str, name: str = "") -> TrackedValuation:
    """The valuation that a commit holds, with the commit that brought it; `InputError` if none."""
    path = project.relative(project.valuation / MANIFEST)
    (files,) = _files(project, [commit_id])
    if files[MANIFEST] is None:
        raise InputError(
            f"holds no valuation ({path})",
            where=f"revision {name or commit_id[:8]}",
            do="`unshapley history` lists the revisions that hold one",
        )
    commits = list_commits(project.root, "-1", commit_id, "--", f"./{path}")
    (commit,) = with_tags(project, commits, {c.id: files[MANIFEST] for c in commits})
    return read_tracked(files, name or commit.name, commit)


def valuation_in(path: Path) -> TrackedValuation:
    """The valuation in a folder: path of it, of its manifest, or of the project it belongs to."""
    folders = [path.parent] if path.is_file() else [path, Project(path).valuation]
    folder = next((folder for folder in folders if (folder / MANIFEST).is_file()), None)
    if folder is None or (path.is_file() and path.name != MANIFEST):
        raise InputError(
            "no valuation stands here",
            where=path,
            expected=f"a {MANIFEST}, or a folder that holds it",
            do="run `unshapley run` there, or name another path or revision",
        )
    files = {
        name: (folder / name).read_bytes() if (folder / name).is_file() else None
        for name in (MANIFEST, VALUES, METRICS)
    }
    return read_tracked(files, str(path), None)


def working_tree(project: Project) -> TrackedValuation:
    """The valuation that stands in the project now; `InputError` if there is none."""
    return replace(valuation_in(project.valuation), name=WORKING_TREE)


def valuations(project: Project, revision: str = "HEAD") -> list[TrackedValuation | Unreadable]:
    """The valuations of a revision and of all its ancestors, the oldest first.

    One for each commit that changed the manifest. One that cannot be read comes as `Unreadable`,
    so that it does not hide the others. Raises `InputError` for an unknown revision, without git,
    or if no commit holds a valuation.
    """
    problem = git_problem(project.root)
    if problem:
        raise InputError(problem, where=project.root, expected="a clone of a git repository")
    commit_id = resolve(project.root, revision)
    if commit_id is None:
        do = "commit the project first" if revision == "HEAD" else "`git log --all` lists commits"
        raise InputError("no revision of git", where=revision, do=do)
    path = f"./{project.relative(project.valuation / MANIFEST)}"
    commits = list_commits(project.root, "--reverse", "--topo-order", commit_id, "--", path)
    files = dict(zip(commits, _files(project, [c.id for c in commits]), strict=True))
    held = {commit.id: content[MANIFEST] for commit, content in files.items()}
    tagged = with_tags(project, commits, held)
    listed = [
        _readable(files[commit], commit_with_tags)
        for commit, commit_with_tags in zip(commits, tagged, strict=True)
        if files[commit][MANIFEST] is not None  # else the commit removed it
    ]
    if not listed:
        raise InputError(
            "no commit holds a valuation",
            where=f"revision {revision}",
            do=f"run `unshapley run`, then commit {project.relative(project.valuation)}",
        )
    return listed


def _readable(files: Mapping[str, bytes | None], commit: Commit) -> TrackedValuation | Unreadable:
    try:
        return read_tracked(files, commit.name, commit)
    except UnshapleyError as error:
        return Unreadable(commit, str(error).splitlines()[0])


def _files(project: Project, commits: Sequence[str]) -> list[dict[str, bytes | None]]:
    """The readable files of each commit's valuation; None for a file that it does not hold."""
    names = (MANIFEST, VALUES, METRICS)
    contents = read_blobs(project, [(commit, name) for commit in commits for name in names])
    return [{name: next(contents) for name in names} for _ in commits]
