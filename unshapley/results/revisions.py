"""Read recorded valuations: those of git's history by revision or tag, or one in a folder.

Only what git tracks of a valuation is read (manifest.json, values.csv, metrics.json), so that a
clone is enough: neither DVC nor its cache is needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from unshapley.environment import git, git_problem
from unshapley.errors import AlteredError, InputError, UnshapleyError
from unshapley.project import Project
from unshapley.results.integrity import check_schema
from unshapley.results.layout import MANIFEST
from unshapley.results.published import PublishedValue, parse_values

VALUES, METRICS = "values.csv", "metrics.json"
WORKING_TREE = "working tree"
_FIELDS = "%H%x1f%cI%x1f%an%x1f%s"


@dataclass(frozen=True)
class Commit:
    """A commit: its full hash, its date with time zone, its author's name, its title, its tags."""

    id: str
    date: datetime
    author: str
    title: str
    tags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its first tag; without one, the beginning of its hash."""
        return self.tags[0] if self.tags else self.id[:8]


@dataclass(frozen=True)
class TrackedValuation:
    """The readable part of a valuation; commit: that holds it, None for one in a folder."""

    name: str
    manifest: Mapping[str, Any]
    metrics: Mapping[str, Any]
    providers: tuple[PublishedValue, ...]
    sha256: str
    commit: Commit | None = None

    @property
    def utility(self) -> str:
        return str(self.metrics["utility"])

    @property
    def method(self) -> str:
        """The unlearner, and what `auto` chose."""
        name = str(self.manifest["config"]["valuation"]["unlearner"])
        chosen = (self.manifest.get("calibration") or {}).get("method")
        return f"{name}: {chosen}" if chosen else name

    @property
    def fidelity(self) -> str:
        """Status and grade of the fidelity check."""
        check = self.manifest["fidelity"]
        return ", ".join(filter(None, [check["status"], check.get("grade")]))

    @property
    def by_provider(self) -> dict[str, PublishedValue]:
        return {entry.provider: entry for entry in self.providers}


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
    commit_id = _resolve(project.root, name)
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
    commits = _commits(project.root, "-1", commit_id, "--", f"./{path}")
    (commit,) = _with_tags(project, commits, {c.id: files[MANIFEST] for c in commits})
    return _recorded(files, name or commit.name, commit)


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
    return _recorded(files, str(path), None)


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
    commit_id = _resolve(project.root, revision)
    if commit_id is None:
        do = "commit the project first" if revision == "HEAD" else "`git log --all` lists commits"
        raise InputError("no revision of git", where=revision, do=do)
    path = f"./{project.relative(project.valuation / MANIFEST)}"
    commits = _commits(project.root, "--reverse", "--topo-order", commit_id, "--", path)
    files = dict(zip(commits, _files(project, [c.id for c in commits]), strict=True))
    held = {commit.id: content[MANIFEST] for commit, content in files.items()}
    tagged = _with_tags(project, commits, held)
    found = [
        _readable(files[commit], commit_with_tags)
        for commit, commit_with_tags in zip(commits, tagged, strict=True)
        if files[commit][MANIFEST] is not None  # else the commit removed it
    ]
    if not found:
        raise InputError(
            "no commit holds a valuation",
            where=f"revision {revision}",
            do=f"run `unshapley run`, then commit {project.relative(project.valuation)}",
        )
    return found


def is_shallow(root: Path) -> bool:
    """Whether the clone lacks the older part of the history."""
    return git(root, "rev-parse", "--is-shallow-repository") == b"true\n"


def _readable(files: Mapping[str, bytes | None], commit: Commit) -> TrackedValuation | Unreadable:
    try:
        return _recorded(files, commit.name, commit)
    except UnshapleyError as error:
        return Unreadable(commit, str(error).splitlines()[0])


def _recorded(
    files: Mapping[str, bytes | None], name: str, commit: Commit | None
) -> TrackedValuation:
    content = files[MANIFEST]
    assert content is not None
    manifest = _json(content, f"{name}: {MANIFEST}")
    check_schema(manifest, f"{name}: {MANIFEST}")
    for file in (VALUES, METRICS):
        _check_hash(files[file], manifest, file, name)
    values, metrics = files[VALUES], files[METRICS]
    assert values is not None
    assert metrics is not None
    return TrackedValuation(
        name,
        manifest,
        _json(metrics, f"{name}: {METRICS}"),
        parse_values(values.decode(), f"{name}: {VALUES}"),
        hashlib.sha256(content).hexdigest(),
        commit,
    )


def _check_hash(content: bytes | None, manifest: Mapping[str, Any], file: str, name: str) -> None:
    if content is None:
        raise InputError(f"{file} is missing beside the manifest", where=name)
    if hashlib.sha256(content).hexdigest() != manifest.get("outputs", {}).get(file):
        raise AlteredError(
            f"{name}: {file} is not the file that its manifest names\n"
            "  do: `unshapley verify` says more of the valuation that stands here"
        )


def _json(content: bytes, where: str) -> dict[str, Any]:
    try:
        read = json.loads(content)
    except ValueError as error:
        raise InputError(f"not readable as JSON ({error})", where=where) from None
    if not isinstance(read, dict):
        raise InputError("is no JSON object", where=where)
    return read


def _resolve(root: Path, name: str) -> str | None:
    """Hash of the commit that a revision names; None if there is none."""
    if not name or name.startswith("-") or "\n" in name:
        return None
    found = git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    return found.decode().strip() if found else None


def _commits(root: Path, *arguments: str) -> list[Commit]:
    lines = (git(root, "log", f"--format={_FIELDS}", *arguments) or b"").decode(errors="replace")
    commits = []
    for line in lines.splitlines():
        commit_id, date, author, title = line.split("\x1f", 3)
        commits.append(Commit(commit_id, datetime.fromisoformat(date), author, title))
    return commits


def _files(project: Project, commits: Sequence[str]) -> list[dict[str, bytes | None]]:
    """The readable files of each commit's valuation; None for a file that it does not hold."""
    names = (MANIFEST, VALUES, METRICS)
    blobs = _blobs(project, [f"{commit}:{{}}{name}" for commit in commits for name in names])
    return [{name: next(blobs) for name in names} for _ in commits]


def _with_tags(
    project: Project, commits: Sequence[Commit], held: Mapping[str, bytes | None]
) -> list[Commit]:
    """The commits with their tags; a tag of a later commit belongs to the manifest it holds."""
    pointed = _tagged_commits(project.root)
    blobs = _blobs(project, [f"refs/tags/{tag}:{{}}{MANIFEST}" for tag in pointed])
    newest = {content: commit_id for commit_id, content in held.items() if content is not None}
    owner: dict[str, list[str]] = {}
    for (tag, at), content in zip(pointed.items(), blobs, strict=True):
        commit_id = at if at in held else newest.get(content) if content is not None else None
        if commit_id is not None:
            owner.setdefault(commit_id, []).append(tag)
    return [replace(commit, tags=tuple(owner.get(commit.id, ()))) for commit in commits]


def _tagged_commits(root: Path) -> dict[str, str]:
    """Commit by tag, annotated or not."""
    form = "--format=%(refname:strip=2) %(*objectname) %(objectname)"
    lines = (git(root, "for-each-ref", form, "refs/tags") or b"").decode().splitlines()
    return {words[0]: words[1] for words in map(str.split, lines)}


def _blobs(project: Project, names: Sequence[str]) -> Iterator[bytes | None]:
    """Contents of files by `REVISION:{}NAME`, read by one process; None if there is no such file.

    {}: the path from the repository's top to the valuation's folder.
    """
    prefix = (git(project.root, "rev-parse", "--show-prefix") or b"").decode().strip()
    folder = f"{prefix}{project.relative(project.valuation)}/"
    given = "".join(f"{name.format(folder)}\n" for name in names).encode()
    output, start = git(project.root, "cat-file", "--batch", given=given) or b"", 0
    for _ in names:
        end = output.index(b"\n", start)
        words = output[start:end].split()
        start = end + 1
        if len(words) < 3 or words[-2] != b"blob":
            yield None
            continue
        size = int(words[-1])
        yield output[start : start + size]
        start += size + 1
