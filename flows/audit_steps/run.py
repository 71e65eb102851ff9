"""What all steps of one audit share."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.audit_steps.revision import Revision, find_revision
from flows.audit_steps.worktree import work_tree
from flows.refresh_steps.repository import Repository
from flows.runtime.booking import booked_device
from flows.runtime.locks import AUDIT, only_audit
from flows.runtime.observing.observed import observed
from flows.runtime.reaping import reap
from flows.runtime.runners import Workers, opened_workers
from flows.runtime.tracking import Tracker
from flows.valuation_steps.run import ValuationRun
from unshapley.audit.settings import AuditSettings
from unshapley.audit.surroundings import differences, is_same_machine
from unshapley.audit.verdict import DIFFERENT, MISSING, Check, Verdict
from unshapley.config import Params, RunSettings, load_params, parse_params
from unshapley.errors import InputError
from unshapley.files import read_json
from unshapley.project import Project
from unshapley.results.integrity import check_schema
from unshapley.results.layout import MANIFEST

log = logging.getLogger("unshapley.run")


@dataclass
class AuditRun:
    """The recorded valuation in its work tree, and what was found so far.

    user: the user's project, which is only read; project: in the work tree; manifest: the recorded
    one; params: its configuration; missing: files that could not be had, with the reason; checks:
    in the order they were made; figures: for audit.json.
    """

    user: Project
    project: Project
    repo: Repository
    tree: Path
    revision: Revision
    settings: AuditSettings
    manifest: dict[str, Any]
    params: Params
    workers: Workers
    tracker: Tracker = field(default_factory=Tracker)
    missing: dict[str, str] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def add(self, *checks: Check) -> None:
        """Keep checks, and log what does not agree."""
        for check in checks:
            self.checks.append(check)
            if check.outcome in (DIFFERENT, MISSING):
                log.info("%s", check.line())

    @property
    def same_machine(self) -> bool:
        """Whether what is derived from the same utilities must have the recorded bits."""
        return is_same_machine(differences(self.manifest))

    @property
    def verdict(self) -> Verdict:
        return Verdict(tuple(self.checks))

    @property
    def valuation_run(self) -> ValuationRun:
        """The same for steps of the valuation flow; its results are kept in the work tree."""
        return ValuationRun(self.project, self.params, self.workers, self.tracker)


@contextmanager
def running_audit(
    folder: Path, revision: Revision | str | None, settings: AuditSettings
) -> Iterator[AuditRun]:
    """An audit with its work tree, which is removed at the end.

    revision: as somebody names it, or what was found for that name. Raises as `find_revision` does,
    `BusyError` where another audit works in the project, and `InputError` for a manifest that is
    not readable or of a newer schema.
    """
    user = Project(folder.resolve())
    with only_audit(user) as lock:
        reap(user, AUDIT)
        repo = Repository(user.root, lock)
        found = revision if isinstance(revision, Revision) else find_revision(user, repo, revision)
        log.info("audit of %s, commit %s", found.name, found.commit[:8])
        with work_tree(user, repo, found) as tree:
            project = Project(tree / found.folder)
            path = project.valuation / MANIFEST
            manifest = read_json(path, do="audit another revision, or restore the history of git")
            check_schema(manifest, path.relative_to(tree))
            params = parse_params({**manifest["config"], "run": _run(user)}, where=path)
            with (
                booked_device(params),
                opened_workers(params) as workers,
                observed("audit", user.root),
            ):
                tracker = Tracker({"project": user.root.name}, workers.count)
                yield AuditRun(
                    user, project, repo, tree, found, settings, manifest, params, workers, tracker
                )


def _run(user: Project) -> dict[str, Any]:
    """How the work is distributed: as the user's params.yaml says, if it is readable."""
    try:
        return load_params(user.params).run.model_dump()
    except InputError:
        return RunSettings().model_dump()
