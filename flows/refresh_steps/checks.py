"""What keeps a project from being refreshed, told before anything is touched."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from flows.refresh_steps import rawtables
from flows.refresh_steps.job import RefreshJob
from flows.refresh_steps.repository import Repository, read_yaml
from unshapley.errors import BusyError, InputError

OWNED = ("dvc.lock", "data/valuation/", "data/raw/", "data/.gitignore")
"""What a refresh commits; all else is for people to commit first."""
WATCHED = ("data/", "unshapley/", "tasks/", "flows/")
"""Where a file that git does not know could change a valuation."""


def check(job: RefreshJob) -> None:
    """Raise `InputError` for what keeps this project from being refreshed."""
    project, repo = job.project, job.repo
    top = repo.asked("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != project.root:
        raise InputError(
            "is not the top of a git repository", where=project.root, do="run `git init` there"
        )
    if not (project.root / ".dvc").is_dir() or not (project.root / "dvc.yaml").is_file():
        raise InputError(
            "is no DVC project", where=project.root, expected=".dvc and dvc.yaml", do="see README"
        )
    stages = read_yaml((project.root / "dvc.yaml").read_text(encoding="utf-8")).get("stages", {})
    for name in ("prepare", "pretrain", "valuation"):
        if name not in stages:
            raise InputError(f"has no stage {name!r}", where=project.root / "dvc.yaml")
    if repo.asked("rev-parse", "-q", "--verify", "HEAD") is None:
        raise InputError("holds no commit yet", where=project.root, do="commit the project first")
    lock = project.root / repo.git("rev-parse", "--git-path", "index.lock")
    if lock.exists():
        raise BusyError(
            f"{lock}: a git command works here\n"
            "  do: wait until it has ended; if none works here, remove that file"
        )
    if repo.branch is None:
        raise InputError("is on no branch", where=project.root, do="run `git switch main`")
    if repo.asked("var", "GIT_COMMITTER_IDENT") is None:
        raise InputError(
            "git knows no name to commit with",
            where=project.root,
            do="run `git config user.name …` and `git config user.email …`",
        )
    rawtables.check_tables(project, repo)
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
    """Raise `InputError` where there is no project to push to."""
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
