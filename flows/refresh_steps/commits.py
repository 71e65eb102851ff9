"""The valuation in git: on top of what others pushed, committed, tagged, pushed with its data.

What is lacking is seen in the history: a commit of a refresh ends in a line of its own, its tag
names date and manifest, and the remote's branch says what was pushed. Data is pushed before the
branch, so that whoever sees a valuation can pull it.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from datetime import UTC, datetime
from pathlib import Path

from flows.refresh_steps import rawtables
from flows.refresh_steps.checks import OWNED, check_clean
from flows.refresh_steps.job import RefreshJob
from flows.refresh_steps.rawtables import SUFFIXES
from flows.refresh_steps.repository import CommandError, Repository
from unshapley.errors import InputError
from unshapley.files import sha256

log = logging.getLogger("unshapley.run")

MARK = "Refreshed-by: unshapley"
"""Last line of the message of every commit that a refresh makes."""
MANIFEST = "data/valuation/manifest.json"


def follow(job: RefreshJob) -> None:
    """Bring the branch to where its remote stands; own commits that were overtaken are discarded.

    Their tables stay in data/raw, where they are new again on top of what the others did.
    """
    rawtables.settle(job.project, job.repo)
    repo = job.repo
    if repo.upstream is None:
        return
    remote, branch = repo.upstream
    theirs = _tip(repo)
    if not theirs or theirs == repo.head:
        return
    repo.git("fetch", "-q", remote, f"+refs/heads/{branch}:refs/remotes/{remote}/{branch}")
    if repo.asked("merge-base", "--is-ancestor", theirs, "HEAD") is not None:
        return
    ahead = _commits(repo, f"{theirs}..HEAD")
    strange = [one for one in ahead if not _is_ours(repo, one)]
    if strange:
        raise InputError(
            f"commit {strange[-1][:8]} and {remote}/{branch} went apart",
            where=repo.root,
            do=f"run `git pull --rebase {remote} {branch}`, then refresh again",
        )
    for name in (name for one in ahead for name in _tags(repo, one)):
        repo.git("tag", "-d", name)
    repo.git("reset", "-q", "--hard", theirs)
    rawtables.settle(job.project, repo)


def commit(job: RefreshJob) -> None:
    """Commit what changed of tables and outputs."""
    repo = job.repo
    check_clean(repo)
    there = [name for name in OWNED if (repo.root / name).exists()]
    # a table itself is DVC's, whatever .gitignore says of it
    repo.git("add", "-A", "--", *there, *(f":(exclude)data/raw/*{end}" for end in SUFFIXES))
    if repo.asked("diff", "--cached", "--quiet") is not None:
        return
    names = repo.git("diff", "--cached", "--name-only", "--", "data/raw/*.dvc").splitlines()
    tables = sorted({Path(Path(name).stem).stem for name in names})
    title = f"Valuation of {datetime.now(UTC):%Y-%m-%d}"
    if tables:
        title += f": {', '.join(tables[:5])}{' …' if len(tables) > 5 else ''}"
    manifest = sha256(repo.root / MANIFEST)
    repo.git("commit", "-q", "-m", title, "-m", f"Manifest: {manifest}\n{MARK}")


def tag(job: RefreshJob) -> None:
    """Name the last commit of a refresh by its date and its manifest."""
    repo = job.repo
    last = repo.asked("log", "-1", "--format=%H %ct", f"--grep=^{MARK}$")
    if not last:
        return
    made, seconds = last.split()
    date = f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%d}"
    if _tags(repo, made):
        return
    content = repo.shown(MANIFEST, made) or ""
    name = mine = f"valuation/{date}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
    for again in itertools.count(2):  # the same inputs as earlier that day give the same manifest
        if repo.asked("rev-parse", "-q", "--verify", f"refs/tags/{mine}") is None:
            break
        mine = f"{name}.{again}"
    repo.git("tag", "-a", "-m", f"Valuation of {date}", mine, made)
    job.outcome.tag, job.outcome.commit = mine, made


def push_valuation(job: RefreshJob) -> bool:
    """Push data, then branch and tags; False where somebody else was first."""
    repo = job.repo
    assert repo.upstream is not None
    remote, branch = repo.upstream
    theirs = _tip(repo)
    try:
        ahead = _commits(repo, f"{theirs}..HEAD" if theirs else "HEAD")
    except CommandError:  # theirs is a commit that this repository does not know
        return False
    ours = [one for one in ahead if _is_ours(repo, one)]
    if not ours:
        return True
    names = [name for one in ours for name in _tags(repo, one)]
    with job.step("push data"):
        repo.dvc("push")
    with job.step("push"):
        refs = [f"HEAD:refs/heads/{branch}", *(f"refs/tags/{name}" for name in names)]
        try:
            repo.git("push", "-q", "--atomic", remote, *refs)
        except CommandError:
            if _tip(repo) == theirs:
                raise
            log.info("somebody pushed in between: once more on top of that")
            return False
    outcome = job.outcome
    outcome.pushed, outcome.commit = True, ours[0]
    outcome.tag = outcome.tag or next(iter(names), None)
    return True


def _tip(repo: Repository) -> str:
    """Where the remote's branch stands; empty where it has none."""
    assert repo.upstream is not None
    remote, branch = repo.upstream
    return repo.git("ls-remote", remote, f"refs/heads/{branch}").split("\t")[0]


def _commits(repo: Repository, span: str) -> list[str]:
    return repo.git("rev-list", span).split()


def _is_ours(repo: Repository, commit: str) -> bool:
    return MARK in repo.git("log", "-1", "--format=%B", commit).splitlines()


def _tags(repo: Repository, commit: str) -> list[str]:
    return repo.git("tag", "--list", "valuation/*", "--points-at", commit).split()
