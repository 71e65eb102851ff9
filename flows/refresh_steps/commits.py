"""The valuation in git: follow the remote branch, commit, tag, and push with the data.

The history shows what is still to be done: the message of a refresh's commit ends with the line
`MARK`, its tag contains date and manifest hash, and the remote branch shows what was pushed. Data
is pushed before the branch, so that everybody who sees a valuation can pull its data.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from flows.refresh_steps import rawtables
from flows.refresh_steps.job import RefreshJob
from flows.refresh_steps.ownership import MANIFEST, own_changes
from flows.refresh_steps.repository import CommandError, Repository
from flows.runtime.locks import only_run
from unshapley.config import load_params
from unshapley.errors import InputError
from unshapley.files import sha256
from unshapley.results.signatures import path_of
from unshapley.results.signing import sign_manifest

log = logging.getLogger("unshapley.run")

MARK = "Refreshed-by: unshapley"
"""Last line in the message of every commit that a refresh makes."""


def follow_remote(job: RefreshJob) -> None:
    """Bring the branch to the state of its remote; discard unpushed refresh commits that conflict.

    The tables of discarded commits stay in data/raw, where they are new for the next steps.
    """
    rawtables.sync_with_dvc(job.project, job.repo)
    repo = job.repo
    if repo.upstream is None:
        return
    remote, branch = repo.upstream
    remote_head = _remote_head(repo)
    if not remote_head or remote_head == repo.head:
        return
    repo.git("fetch", "-q", remote, f"+refs/heads/{branch}:refs/remotes/{remote}/{branch}")
    if repo.try_git("merge-base", "--is-ancestor", remote_head, "HEAD") is not None:
        return
    unpushed = _commits(repo, f"{remote_head}..HEAD")
    by_user = [commit_id for commit_id in unpushed if not _is_by_refresh(repo, commit_id)]
    if by_user:
        raise InputError(
            f"commit {by_user[-1][:8]} and {remote}/{branch} have diverged",
            where=repo.root,
            do=f"run `git pull --rebase {remote} {branch}`, then refresh again",
        )
    for name in (name for commit_id in unpushed for name in _tags(repo, commit_id)):
        repo.git("tag", "-d", name)
    repo.git("reset", "-q", "--hard", remote_head)
    rawtables.sync_with_dvc(job.project, repo)


def sign(job: RefreshJob) -> None:
    """Sign the manifest if it is new and `signing.key` is set."""
    project, key = job.project, load_params(job.project.params).signing.key
    path = project.root / MANIFEST
    if key and path.is_file() and path.read_text(encoding="utf-8") != job.repo.file_at(MANIFEST):
        sign_manifest(project, path_of(project, key), ask=False)


def commit(job: RefreshJob) -> None:
    """Commit the refresh's own changes of tables and outputs, if there are any.

    Nothing is staged on the way: what a killed refresh leaves looks the same as before.
    """
    with only_run(job.project):
        repo = job.repo
        changes = own_changes(repo)
        if not changes:
            return
        paths = [change.path for change in changes]
        new = [change.path for change in changes if change.is_new]
        if new:
            repo.git("add", "--intent-to-add", paths=new)
        words = [_title(paths), f"Manifest: {sha256(repo.root / MANIFEST)}\n{MARK}"]
        repo.git("commit", "-q", "--only", *(f"--message={text}" for text in words), paths=paths)


def tag(job: RefreshJob) -> None:
    """Tag the last commit of a refresh with its date and manifest hash, unless it has a tag."""
    repo = job.repo
    last = repo.try_git("log", "-1", "--format=%H %ct", f"--grep=^{MARK}$")
    if not last:
        return
    commit_id, seconds = last.split()
    date = f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%d}"
    if _tags(repo, commit_id):
        return
    content = repo.file_at(MANIFEST, commit_id) or ""
    base = name = f"valuation/{date}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
    for number in itertools.count(2):  # the same inputs on the same day give the same manifest
        if repo.try_git("rev-parse", "-q", "--verify", f"refs/tags/{name}") is None:
            break
        name = f"{base}.{number}"
    repo.git("tag", "-a", "-m", f"Valuation of {date}", name, commit_id)
    job.outcome.tag, job.outcome.commit = name, commit_id


def push_valuation(job: RefreshJob) -> bool:
    """Push data, then branch and tags; False if somebody else has pushed before."""
    repo = job.repo
    assert repo.upstream is not None
    remote, branch = repo.upstream
    remote_head = _remote_head(repo)
    try:
        unpushed = _commits(repo, f"{remote_head}..HEAD" if remote_head else "HEAD")
    except CommandError:  # this repository does not know the remote's commit
        return False
    by_refresh = [commit_id for commit_id in unpushed if _is_by_refresh(repo, commit_id)]
    if not by_refresh:
        return True
    names = [name for commit_id in by_refresh for name in _tags(repo, commit_id)]
    with job.step("push data"):
        repo.dvc("push")
    with job.step("push"):
        refs = [f"HEAD:refs/heads/{branch}", *(f"refs/tags/{name}" for name in names)]
        try:
            repo.git("push", "-q", "--atomic", remote, *refs)
        except CommandError:
            if _remote_head(repo) == remote_head:
                raise
            log.info("somebody else has pushed meanwhile: refreshing again on top of that")
            return False
    outcome = job.outcome
    outcome.pushed, outcome.commit = True, by_refresh[0]
    outcome.tag = outcome.tag or next(iter(names), None)
    return True


def _title(paths: Iterable[str]) -> str:
    """Title of the commit: the date, and the names of the tables that changed."""
    tables = sorted({table.stem for path in paths if (table := rawtables.table_of(Path(path)))})
    title = f"Valuation of {datetime.now(UTC):%Y-%m-%d}"
    if tables:
        title += f": {', '.join(tables[:5])}{' …' if len(tables) > 5 else ''}"
    return title


def _remote_head(repo: Repository) -> str:
    """The commit of the remote's branch; empty if the remote does not have the branch."""
    assert repo.upstream is not None
    remote, branch = repo.upstream
    return repo.git("ls-remote", remote, f"refs/heads/{branch}").split("\t")[0]


def _commits(repo: Repository, revisions: str) -> list[str]:
    return repo.git("rev-list", revisions).split()


def _is_by_refresh(repo: Repository, commit_id: str) -> bool:
    return MARK in repo.git("log", "-1", "--format=%B", commit_id).splitlines()


def _tags(repo: Repository, commit_id: str) -> list[str]:
    return repo.git("tag", "--list", "valuation/*", "--points-at", commit_id).split()
