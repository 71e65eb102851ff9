"""Checks before anything is changed: reasons why a project cannot be refreshed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from flows.refresh_steps import imported, rawtables
from flows.refresh_steps.job import RefreshJob
from flows.refresh_steps.ownership import own_changes
from flows.refresh_steps.repository import Repository, read_yaml
from unshapley.config import load_params
from unshapley.errors import BusyError, InputError
from unshapley.project import Project
from unshapley.results.signatures import path_of
from unshapley.results.signing import make_signature


def check(job: RefreshJob) -> None:
    """Raise `InputError` if this project cannot be refreshed."""
    project, repo = job.project, job.repo
    top = repo.try_git("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != project.root:
        raise InputError(
            "is not the top folder of a git repository",
            where=project.root,
            do="run `git init` there",
        )
    if not (project.root / ".dvc").is_dir() or not (project.root / "dvc.yaml").is_file():
        raise InputError(
            "is not a DVC project",
            where=project.root,
            expected=".dvc and dvc.yaml",
            do="see README",
        )
    stages = read_yaml((project.root / "dvc.yaml").read_text(encoding="utf-8")).get("stages", {})
    for name in ("prepare", "valuation"):
        if name not in stages:
            raise InputError(f"has no stage {name!r}", where=project.root / "dvc.yaml")
    imported.check_stages(project, stages)
    if repo.try_git("rev-parse", "-q", "--verify", "HEAD") is None:
        raise InputError("has no commit yet", where=project.root, do="commit the project first")
    lock = project.root / repo.git("rev-parse", "--git-path", "index.lock")
    if lock.exists():
        raise BusyError(
            f"{lock}: a git command is running here\n"
            "  do: wait until it has ended; if no git command is running, remove that file"
        )
    if repo.branch is None:
        raise InputError(
            "has no branch checked out", where=project.root, do="run `git switch main`"
        )
    if repo.try_git("var", "GIT_COMMITTER_IDENT") is None:
        raise InputError(
            "git has no name and email for commits",
            where=project.root,
            do="run `git config user.name …` and `git config user.email …`",
        )
    rawtables.check_tables(project, repo)
    own_changes(repo, warn=True)
    check_signing(project)
    if job.push:
        check_remotes(repo)


def check_signing(project: Project) -> None:
    """Raise `InputError` if valuations should be signed, and cannot be without a person."""
    settings = load_params(project.params).signing
    if settings.key:
        make_signature(b"", path_of(project, settings.key), ask=False)
    elif settings.required:
        raise InputError(
            "signing.required is true, and signing.key names no key",
            where=project.params,
            do="set signing.key to a key that refresh may use",
        )


def check_remotes(repo: Repository) -> None:
    """Raise `InputError` if git or DVC has no remote to push to."""
    if repo.upstream is None:
        raise InputError(
            f"branch {repo.branch!r} has no upstream branch",
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
