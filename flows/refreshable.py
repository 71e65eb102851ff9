"""What keeps a project from being refreshed, told before anything is touched."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from flows import rawtables
from flows.refreshed import Job
from flows.repository import Repository, read_yaml
from unshapley.errors import BusyError, InputError

OWNED = ("dvc.lock", "data/valuation/", "data/raw/", "data/.gitignore")
"""What a refresh commits; all else is for people to commit first."""
WATCHED = ("data/", "unshapley/", "tasks/", "flows/")
"""Where a file that git does not know could change a valuation."""


def check(job: Job) -> None:
    """Raise `InputError` for what keeps this project from being refreshed."""
    place, repo = job.place, job.repo
    top = repo.asked("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != place.root:
        raise InputError(
            "is not the top of a git repository", where=place.root, do="run `git init` there"
        )
    if not (place.root / ".dvc").is_dir() or not (place.root / "dvc.yaml").is_file():
        raise InputError(
            "is no DVC project", where=place.root, expected=".dvc and dvc.yaml", do="see README"
        )
    stages = read_yaml((place.root / "dvc.yaml").read_text(encoding="utf-8")).get("stages", {})
    for name in ("prepare", "pretrain", "valuation"):
        if name not in stages:
            raise InputError(f"has no stage {name!r}", where=place.root / "dvc.yaml")
    if repo.asked("rev-parse", "-q", "--verify", "HEAD") is None:
        raise InputError("holds no commit yet", where=place.root, do="commit the project first")
    lock = place.root / repo.git("rev-parse", "--git-path", "index.lock")
    if lock.exists():
        raise BusyError(
            f"{lock}: a git command works here\n"
            "  do: wait until it has ended; if none works here, remove that file"
        )
    if repo.branch is None:
        raise InputError("is on no branch", where=place.root, do="run `git switch main`")
    if repo.asked("var", "GIT_COMMITTER_IDENT") is None:
        raise InputError(
            "git knows no name to commit with",
            where=place.root,
            do="run `git config user.name …` and `git config user.email …`",
        )
    rawtables.check_tables(place, repo)
    check_clean(repo)
    if job.push:
        check_remotes(repo)


def check_clean(repo: Repository) -> None:
    """Raise `InputError` where somebody's changes are not committed: no valuation could say what
    it was made of.
    """
    tracked = set((repo.asked("ls-files") or "").splitlines())
    foreign = [
        path
        for path in repo.changes()
        if not path.startswith(OWNED) and (path in tracked or path.startswith(WATCHED))
    ]
    if foreign:
        raise InputError(
            f"{', '.join(foreign[:5])}{' …' if len(foreign) > 5 else ''}: not committed",
            where=repo.root,
            do="commit the changes, or `git restore` the files",
        )


def check_remotes(repo: Repository) -> None:
    """Raise `InputError` where there is no place to push to."""
    if repo.upstream is None:
        raise InputError(
            f"branch {repo.branch!r} follows no branch of a remote",
            where=repo.root,
            do=f"run `git push -u origin {repo.branch}`, or refresh with --no-push",
        )
    address = repo.dvc_remote()
    if address is None:
        raise InputError(
            "DVC has no default remote",
            where=repo.root,
            do="run `dvc remote add --local -d NAME ADDRESS`, or refresh with --no-push",
        )
    if address.startswith("s3://") and importlib.util.find_spec("dvc_s3") is None:
        raise InputError(
            f"DVC's remote {address} needs dvc-s3", do="run `pip install 'unshapley[s3]'`"
        )
