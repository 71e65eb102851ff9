"""The steps of a refresh: inputs → stages → valuation → commit and tag → push → drop folder.

There is no journal. Each step looks at what git, DVC and the drop folder show to be lacking, and
does that: whatever a refresh died of, the next one finishes or discards what it left.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from flows.refresh_steps import dropfolder, rawtables, rollback
from flows.refresh_steps.checks import check, check_clean
from flows.refresh_steps.commits import commit, follow, push_valuation, tag
from flows.refresh_steps.dropfolder import Drop
from flows.refresh_steps.job import RefreshJob, RefreshOutcome, Value
from flows.refresh_steps.repository import CommandError, Repository
from flows.runtime.locks import only_refresh, only_run
from unshapley.config import load_params
from unshapley.environment import source_hash
from unshapley.errors import UnshapleyError
from unshapley.project import Project

log = logging.getLogger("unshapley.run")

ATTEMPTS = 3
"""How often a commit is made anew on top of what somebody pushed in between."""


CODE = ("unshapley", "tasks", "flows")
_LOADED = source_hash(*CODE)


def refresh_project(
    project: Project, value: Value, *, drop: Path | None = None, push: bool = True
) -> RefreshOutcome:
    """Update the inputs; if they changed, value them and commit, tag and push the outcome.

    value: called once if there is anything to value. Raises `BusyError` where another refresh or
    run works in the project, `InputError` where the project cannot be refreshed or what is new
    breaks its expectations, `UntrustedError` where the outcome is not published: then everything is
    as before, and deliveries lie where they lay.
    """
    project = Project(project.root.resolve())
    with only_refresh(project) as lock:
        with only_run(project):
            pass
        folder = Drop(drop.resolve()) if drop else None
        job = RefreshJob(project, Repository(project.root, lock), folder, push, value)
        check(job)
        for _ in range(ATTEMPTS):
            with job.step("follow"):
                follow(job)
            with job.step("inputs"):
                update_inputs(job)
            with job.step("drop"):
                take(job)
            try:
                renew(job)
            except UnshapleyError as error:
                if error.exit_code in (2, 3):
                    with job.step("put back"):
                        discard(job)
                raise
            with job.step("commit"), only_run(project):
                commit(job)
            with job.step("tag"):
                tag(job)
            if not push or push_valuation(job):
                break
        else:
            raise CommandError(
                f"others pushed {ATTEMPTS} times while this was valued\n"
                "  do: run the same command again"
            )
        with job.step("clear"):
            if folder:
                dropfolder.clear(project, job.repo, folder)
                job.outcome.refused = folder.refused
        return job.outcome


def update_inputs(job: RefreshJob) -> None:
    """Imported tables as their sources have them, and all that DVC tracks on disk."""
    rawtables.update_imports(job.project, job.repo)
    if any(
        "changed outs" in change for changes in _status(job.repo).values() for change in changes
    ):
        fetch_outputs(job)


def fetch_outputs(job: RefreshJob) -> None:
    """What .dvc files and dvc.lock name; what a stage can make again may be lacking."""
    repo, remote = job.repo, job.repo.dvc_remote()
    verb = ("pull",) if remote else ("checkout",)
    pointers = [rawtables.relative(repo, p) for p in sorted(job.project.raw.glob("*.dvc"))]
    if pointers:
        repo.dvc(*verb, "--force", *pointers)
    repo.dvc(*verb, "--force", "--allow-missing")


def take(job: RefreshJob) -> None:
    """Take what is new in the drop folder."""
    if job.drop:
        prepare = load_params(job.project.params).prepare
        dropfolder.check_drop(job.project, job.drop.folder, prepare)
        dropfolder.take(job.project, job.repo, job.drop, prepare.label, prepare.task)
        fresh = dropfolder.uncommitted(job.project, job.repo, job.drop)
        job.outcome.taken = sorted({*job.outcome.taken, *(file.name for file in fresh)})


def renew(job: RefreshJob) -> None:
    """Run the stages that are not up to date, and record them in dvc.lock."""
    repo, stale = job.repo, set(_status(job.repo))
    if stale - {"valuation"}:
        with job.step("prepare"):
            prepare(job)
        with job.step("pretrain"):
            repo.dvc("repro", "pretrain")
        stale = set(_status(repo))
    if "valuation" not in stale:
        return
    with job.step("value"):
        if source_hash(*CODE) == _LOADED:
            job.value(job.project.root, load_params(job.project.params))
        else:  # the pull brought other code than runs here
            repo.unshapley("run", "--quiet")
    with job.step("record"), only_run(job.project):
        check_clean(repo)
        repo.dvc("commit", "--force", "valuation")


def prepare(job: RefreshJob) -> None:
    """Prepare; deliveries that break their expectations go back, if the policy is to stop."""
    from tasks.expectations.validation import validate_project

    params = load_params(job.project.params)
    while True:
        job.repo.dvc("repro", "prepare")
        fresh = dropfolder.uncommitted(job.project, job.repo, job.drop) if job.drop else []
        if not fresh or not job.drop or params.validation.policy != "stop":
            return
        reports = validate_project(job.project, params.valuation.targets)
        why = {report["table"]: "; ".join(report["critical"]) for report in reports}
        bad = [file for file in fresh if why.get(file.stem)]
        if not bad:
            return
        for file in bad:
            job.drop.refuse(file, why[file.stem])
        rollback.put_back(job.project, job.repo, bad)
        job.outcome.taken = [name for name in job.outcome.taken if name not in job.drop.refused]


def discard(job: RefreshJob) -> None:
    """Back to the commit: what is new came to nothing."""
    if job.drop:
        fresh = dropfolder.uncommitted(job.project, job.repo, job.drop)
        rollback.put_back(job.project, job.repo, fresh)
    rollback.restore_outputs(job.repo)


def _status(repo: Repository) -> dict[str, list[Any]]:
    """What DVC finds changed, by stage and .dvc file."""
    found: dict[str, list[Any]] = json.loads(repo.dvc("status", "--json") or "{}")
    return found
