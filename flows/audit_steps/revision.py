"""Which recorded valuation is audited: a revision, a tag, or a manifest, as a commit of git."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from flows.refresh_steps.repository import Repository
from unshapley.errors import AlteredError, InputError, UncheckableError
from unshapley.project import Project
from unshapley.results.chain import PREVIOUS, committed_before
from unshapley.results.layout import MANIFEST

TAG = re.compile(r".*-([0-9a-f]{8})$")
"""A tag of `unshapley refresh`: it ends with the first digits of the manifest's hash."""
LISTED = 5


@dataclass(frozen=True)
class Revision:
    """A commit that holds a valuation.

    name: as the user gave it; commit: full hash; folder: of the project in the repository, empty at
    its top, else with a slash at its end; tag: its full name, where a tag was given.
    """

    name: str
    commit: str
    folder: str
    tag: str | None = None

    @property
    def hash_in_tag(self) -> str | None:
        """First digits of the manifest's hash that the tag's name states."""
        stated = TAG.fullmatch(self.tag or "")
        return stated[1] if stated else None


def find_revision(project: Project, repo: Repository, name: str | None) -> Revision:
    """The commit that `name` means: a revision, a tag, a manifest file, or, for None, HEAD.

    Raises `UncheckableError` without a git repository, and `InputError` for an unknown revision,
    for one without a valuation, and where none is named but that of HEAD was changed on disk;
    raises `AlteredError` for a manifest that no commit holds.
    """
    if repo.try_git("rev-parse", "--git-dir") is None:
        raise UncheckableError(
            f"{project.root}: is in no git repository, so no revision is recorded\n"
            "  do: `git init`, and commit the project with its valuation"
        )
    folder = repo.git("rev-parse", "--show-prefix")
    if name is not None and Path(name).is_file():
        commit = _commit_of_manifest(project, Path(name))
        return Revision(name, commit, folder)
    if name is None:
        _check_committed(project, repo)
    wanted = name or "HEAD"
    verify = ("rev-parse", "-q", "--verify", "--end-of-options")
    found = repo.try_git(*verify, f"{wanted}^{{commit}}")
    if not found:
        raise InputError(f"git knows no revision {wanted!r}", where=project.root, do=_others(repo))
    path = f"{folder}{project.relative(project.valuation / MANIFEST)}"
    if repo.try_git("cat-file", "-e", f"{found}:{path}") is None:
        raise InputError(f"{wanted} holds no valuation", where=path, do=_others(repo, path))
    is_tag = repo.try_git("rev-parse", "-q", "--verify", f"refs/tags/{wanted}") is not None
    return Revision(wanted, found, folder, wanted if is_tag else None)


def recorded_numerics(project: Project, repo: Repository, found: Revision) -> str:
    """`valuation.numerics` of the valuation that a commit holds."""
    path = f"{found.folder}{project.relative(project.valuation / MANIFEST)}"
    try:
        config = json.loads(repo.git("cat-file", "-p", f"{found.commit}:{path}"))["config"]
        return str(config["valuation"]["numerics"])
    except (ValueError, KeyError, TypeError):  # an older manifest, or one that the audit refuses
        return "native"


def _commit_of_manifest(project: Project, path: Path) -> str:
    """The commit that holds the bytes of a manifest."""
    content = path.read_bytes()
    before = committed_before(project.root, project.valuation)
    commit = before.get(hashlib.sha256(content).hexdigest())
    if commit:
        return commit
    try:
        previous = json.loads(content).get(PREVIOUS)
    except (ValueError, AttributeError):
        raise InputError("is no manifest", where=path, expected="a manifest.json") from None
    if previous in before or (previous is None and not before):
        raise InputError(
            "this valuation is not committed yet", where=path, do="commit it, then audit it"
        )
    raise AlteredError(
        f"{path}: was edited, or is of another project: no commit holds this manifest\n"
        "  do: restore it with `git checkout`, or audit a revision by its name"
    )


def _check_committed(project: Project, repo: Repository) -> None:
    """Raise `InputError` where the valuation on disk, or what it was made of, differs from HEAD."""
    paths = ["params.yaml", "data", "dvc.lock", "dvc.yaml"]
    output = repo.try_git("diff", "--name-only", "--relative", "HEAD", "--", *paths)
    changed = (output or "").split("\n")
    if any(changed):
        raise InputError(
            f"not committed: {', '.join(changed[:LISTED])}{' …' if len(changed) > LISTED else ''}",
            where=project.root,
            expected="the valuation that is audited as a commit has recorded it",
            do="commit it, or name the revision to audit, such as HEAD",
        )


def _others(repo: Repository, path: str = "") -> str:
    """What may be named instead: the newest tags, or commits that changed the valuation."""
    tags = repo.git("tag", "--sort=-creatordate", "--list", "valuation/*").split("\n")
    if any(tags):
        return f"name one of {', '.join(tags[:LISTED])}"
    log = repo.try_git("log", "--format=%h", f"-{LISTED}", "--", f":/{path}" if path else ".")
    commits = (log or "").split()
    return f"name one of {', '.join(commits)}" if commits and path else "see `git log`"
