"""The steps of a refresh: inputs → stages → valuation → commit and tag → push → drop folder.

There is no journal. Each step looks at what git, DVC and the drop folder show to be lacking, and
does that: whatever a refresh died of, the next one finishes or discards what it left.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from flows import dropfolder, rawtables, refreshed, rollback
from flows.dropfolder import Drop
from flows.locking import only_refresh, only_run
from flows.recording import commit, follow, publish, tag
from flows.refreshable import check, check_clean
from flows.refreshed import Job, Refreshed, Value
from flows.repository import CommandError, Repository
from unshapley.config import load_params
from unshapley.errors import UnshapleyError
from unshapley.files import digest, sha256
from unshapley.project import Project

log = logging.getLogger("unshapley.run")

ATTEMPTS = 3
"""How often a commit is made anew on top of what somebody pushed in between."""
_HOME = Path(__file__).resolve().parent.parent


def _code() -> str:
    return digest([sha256(_HOME / name) for name in ("unshapley", "tasks", "flows")])


_LOADED = _code()


def refresh_project(
    place: Project, value: Value, *, drop: Path | None = None, push: bool = True
) -> Refreshed:
    """Update the inputs; if they changed, value them and commit, tag and push the outcome.

    value: called once if there is anything to value. Raises `BusyError` where another refresh or
    run works in the project, `InputError` where the project cannot be refreshed or what is new
    breaks its expectations, `UntrustedError` where the outcome is not published: then everything is
    as before, and deliveries lie where they lay.
    """
    place = Project(place.root.resolve())
    with only_refresh(place) as lock:
        with only_run(place):
            pass
        folder = Drop(drop.resolve()) if drop else None
        job = Job(place, Repository(place.root, lock), folder, push, value)
        check(job)
        for _ in range(ATTEMPTS):
            with refreshed.step(job, "follow"):
                follow(job)
            with refreshed.step(job, "inputs"):
                update_inputs(job)
            with refreshed.step(job, "drop"):
                take(job)
            try:
                renew(job)
            except UnshapleyError as error:
                if error.exit_code in (2, 3):
                    with refreshed.step(job, "put back"):
                        discard(job)
                raise
            with refreshed.step(job, "commit"), only_run(place):
                commit(job)
            with refreshed.step(job, "tag"):
                tag(job)
            if not push or publish(job):
                break
        else:
            raise CommandError(
                f"others pushed {ATTEMPTS} times while this was valued\n"
                "  do: run the same command again"
            )
        with refreshed.step(job, "clear"):
            if folder:
                dropfolder.clear(place, job.repo, folder)
                job.done.refused = folder.refused
        return job.done


def update_inputs(job: Job) -> None:
    """Imported tables as their sources have them, and all that DVC tracks on disk."""
    rawtables.update_imports(job.place, job.repo)
    if any(
        "changed outs" in change for changes in _status(job.repo).values() for change in changes
    ):
        fetch_outputs(job)


def fetch_outputs(job: Job) -> None:
    """What .dvc files and dvc.lock name; what a stage can make again may be lacking."""
    repo, remote = job.repo, job.repo.dvc_remote()
    verb = ("pull",) if remote else ("checkout",)
    pointers = [rawtables.relative(repo, p) for p in sorted(job.place.raw.glob("*.dvc"))]
    if pointers:
        repo.dvc(*verb, "--force", *pointers)
    repo.dvc(*verb, "--force", "--allow-missing")


def take(job: Job) -> None:
    """Take what is new in the drop folder."""
    if job.drop:
        prepare = load_params(job.place.params).prepare
        dropfolder.check_drop(job.place, job.drop.folder, prepare)
        dropfolder.take(job.place, job.repo, job.drop, prepare.label, prepare.task)
        fresh = dropfolder.uncommitted(job.place, job.repo, job.drop)
        job.done.taken = sorted({*job.done.taken, *(file.name for file in fresh)})


def renew(job: Job) -> None:
    """Run the stages that are not up to date, and record them in dvc.lock."""
    repo, stale = job.repo, set(_status(job.repo))
    if stale - {"valuation"}:
        with refreshed.step(job, "prepare"):
            prepare(job)
        with refreshed.step(job, "pretrain"):
            repo.dvc("repro", "pretrain")
        stale = set(_status(repo))
    if "valuation" not in stale:
        return
    with refreshed.step(job, "value"):
        if _code() == _LOADED:
            job.value(job.place.root, load_params(job.place.params))
        else:  # the pull brought other code than runs here
            repo.unshapley("run", "--quiet")
    with refreshed.step(job, "record"), only_run(job.place):
        check_clean(repo)
        repo.dvc("commit", "--force", "valuation")


def prepare(job: Job) -> None:
    """Prepare; deliveries that break their expectations go back, if the policy is to stop."""
    from tasks.validation import validate_project

    params = load_params(job.place.params)
    while True:
        job.repo.dvc("repro", "prepare")
        fresh = dropfolder.uncommitted(job.place, job.repo, job.drop) if job.drop else []
        if not fresh or not job.drop or params.validation.policy != "stop":
            return
        reports = validate_project(job.place, params.valuation.targets)
        why = {report["table"]: "; ".join(report["critical"]) for report in reports}
        bad = [file for file in fresh if why.get(file.stem)]
        if not bad:
            return
        for file in bad:
            job.drop.refuse(file, why[file.stem])
        rollback.put_back(job.place, job.repo, bad)
        job.done.taken = [name for name in job.done.taken if name not in job.drop.refused]


def discard(job: Job) -> None:
    """Back to the commit: what is new came to nothing."""
    if job.drop:
        fresh = dropfolder.uncommitted(job.place, job.repo, job.drop)
        rollback.put_back(job.place, job.repo, fresh)
    rollback.restore_outputs(job.repo)


def _status(repo: Repository) -> dict[str, list[Any]]:
    """What DVC finds changed, by stage and .dvc file."""
    found: dict[str, list[Any]] = json.loads(repo.dvc("status", "--json") or "{}")
    return found
