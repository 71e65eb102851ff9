"""The steps of a refresh: inputs → stages → valuation → commit and tag → push → drop folder.

There is no journal. Each step compares git, DVC and the drop folder to see what is still to be
done, and does it. So if a refresh ends early for any reason, the next one completes or undoes its
work.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from flows.refresh_steps import dropfolder, imported, rawtables, rollback
from flows.refresh_steps.checks import check
from flows.refresh_steps.commits import commit, follow_remote, push_valuation, sign, tag
from flows.refresh_steps.dropfolder import Drop
from flows.refresh_steps.job import RefreshJob, RefreshOutcome, Value
from flows.refresh_steps.ownership import own_changes
from flows.refresh_steps.repository import DEFAULT_SECONDS, CommandError, Repository
from flows.runtime.locks import REFRESH, only_refresh, only_run
from flows.runtime.reaping import reap
from unshapley.config import load_params
from unshapley.environment import source_hash
from unshapley.errors import InputError, UnshapleyError, UntrustedError
from unshapley.project import Project

log = logging.getLogger("unshapley.run")

ATTEMPTS = 3
"""How often a refresh starts again because somebody else has pushed in between."""

CODE = ("unshapley", "tasks", "flows")
_LOADED_CODE = source_hash(*CODE)
"""Hash of the code that this process runs."""


def refresh_project(
    project: Project,
    value: Value,
    *,
    drop: Path | None = None,
    push: bool = True,
    limit: float = DEFAULT_SECONDS,
) -> RefreshOutcome:
    """Update the inputs; if they changed, value them, and commit, tag and push the valuation.

    value: called once if there is anything to value; limit: seconds after which a git or DVC
    command is stopped.

    Raises `CommandError` if a command fails or is stopped: the next refresh goes on from there.
    Raises `BusyError` if another refresh or run works in the project, `InputError` if the project
    cannot be refreshed or new tables fail their expectations, `UntrustedError` if the valuation is
    not published. In these cases the project is as before, and deliveries are still in the drop
    folder.
    """
    project = Project(project.root.resolve())
    with only_refresh(project) as lock:
        reap(project, REFRESH)
        check_idle(project)
        folder = Drop(drop.resolve()) if drop else None
        job = RefreshJob(project, Repository(project.root, lock, limit), folder, push, value)
        check(job)
        for _ in range(ATTEMPTS):
            with job.step("follow"):
                follow_remote(job)
            with job.step("inputs"):
                update_inputs(job)
            with job.step("drop"):
                take_deliveries(job)
            run_stages_or_undo(job)
            with job.step("commit"):
                sign(job)
                commit(job)
            with job.step("tag"):
                tag(job)
            if not push or push_valuation(job):
                break
        else:
            raise CommandError(
                f"others pushed {ATTEMPTS} times during this refresh\n"
                "  do: run the same command again"
            )
        with job.step("clear"):
            clear_drop_folder(job)
        return job.outcome


def check_idle(project: Project) -> None:
    """Raise `BusyError` if a valuation runs in the project."""
    with only_run(project):
        pass


def update_inputs(job: RefreshJob) -> None:
    """Update imported tables from their sources, and fetch outputs that differ from the commit."""
    rawtables.update_imports(job.project, job.repo)
    if any(
        "changed outs" in change for changes in _status(job.repo).values() for change in changes
    ):
        if imported.is_tracked(job.project):
            imported.keep_unsaved(job.repo)
        fetch_outputs(job)


def fetch_outputs(job: RefreshJob) -> None:
    """Fetch what .dvc files and dvc.lock name; outputs that a stage can remake may be absent."""
    repo, remote = job.repo, job.repo.dvc_remote()
    command = "pull" if remote else "checkout"
    dvc_files = [rawtables.relative(repo, p) for p in sorted(job.project.raw.glob("*.dvc"))]
    if dvc_files:
        repo.dvc(command, "--force", *dvc_files)
    repo.dvc(command, "--force", "--allow-missing")


def take_deliveries(job: RefreshJob) -> None:
    """Copy new deliveries from the drop folder to data/raw."""
    if job.drop:
        prepare = load_params(job.project.params).prepare
        dropfolder.check_drop(job.project, job.drop.folder, prepare)
        dropfolder.take(job.project, job.repo, job.drop, prepare)
        new = dropfolder.uncommitted(job.project, job.repo, job.drop)
        job.outcome.taken = sorted({*job.outcome.taken, *(file.name for file in new)})


def run_stages_or_undo(job: RefreshJob) -> None:
    """Run the stages; after an error of the inputs or an untrusted outcome, restore the project."""
    try:
        run_stages(job)
    except UnshapleyError as error:
        if error.exit_code in {InputError.exit_code, UntrustedError.exit_code}:
            with job.step("put back"):
                undo(job)
        raise


def run_stages(job: RefreshJob) -> None:
    """Run the stages that are not up to date, and record the results in dvc.lock."""
    repo, outdated = job.repo, set(_status(job.repo))
    if outdated - {"valuation"}:
        with job.step("prepare"):
            prepare(job)
        if not imported.is_tracked(job.project):
            with job.step("pretrain"):
                repo.dvc("repro", "pretrain")
        outdated = set(_status(repo))
    if "valuation" not in outdated:
        return
    if imported.is_tracked(job.project):
        imported.check_rows(job.project)
    with job.step("value"):
        if source_hash(*CODE) == _LOADED_CODE:
            job.value(job.project.root, load_params(job.project.params))
        else:  # git pulled other code than this process runs
            repo.unshapley("run", "--quiet")
    with job.step("record"), only_run(job.project):
        own_changes(repo)
        repo.dvc("commit", "--force", "valuation")


def prepare(job: RefreshJob) -> None:
    """Run stage prepare. With policy stop, refuse deliveries that fail their expectations."""
    from tasks.expectations.validation import validate_project

    params = load_params(job.project.params)
    while True:
        job.repo.dvc("repro", "prepare")
        new = dropfolder.uncommitted(job.project, job.repo, job.drop) if job.drop else []
        if not new or not job.drop or params.validation.policy != "stop":
            return
        reports = validate_project(job.project, params.valuation.targets)
        problems = {report["table"]: "; ".join(report["critical"]) for report in reports}
        rejected = [file for file in new if problems.get(file.stem)]
        if not rejected:
            return
        for file in rejected:
            job.drop.refuse(file, problems[file.stem])
        rollback.undo_deliveries(job.project, job.repo, rejected)
        job.outcome.taken = [name for name in job.outcome.taken if name not in job.drop.refused]


def undo(job: RefreshJob) -> None:
    """Restore the project as it is in the current commit."""
    if job.drop:
        new = dropfolder.uncommitted(job.project, job.repo, job.drop)
        rollback.undo_deliveries(job.project, job.repo, new)
    rollback.restore_outputs(job.repo)


def clear_drop_folder(job: RefreshJob) -> None:
    """Delete the deliveries that the commit contains, and report those that were refused."""
    if job.drop:
        dropfolder.clear(job.project, job.repo, job.drop)
        job.outcome.refused = job.drop.refused


def _status(repo: Repository) -> dict[str, list[Any]]:
    """Changes that DVC reports, by stage or .dvc file."""
    changes: dict[str, list[Any]] = json.loads(repo.dvc("status", "--json") or "{}")
    return changes
