"""Step: fetch exactly what the manifest names, from git and DVC, into the work tree."""

from __future__ import annotations

import shutil
from pathlib import Path

from flows.audit_steps.run import AuditRun
from tasks.fetch import fetch
from unshapley.audit.verdict import IDENTICAL, MISSING, Check
from unshapley.files import sha256


def fetch_inputs(run: AuditRun) -> None:
    """What the commit does not hold comes from DVC's cache or remote; what neither has, from the
    user's folder, if its hash is the recorded one. What is nowhere is named.
    """
    with run.tracker.step("fetch"):
        recorded = recorded_files(run)
        absent = [path for path in recorded if not (run.project.root / path).is_file()]
        missing: dict[str, str] = {}
        if absent:
            folder, commit = run.revision.folder, run.revision.commit
            top = Path(run.repo.git("rev-parse", "--show-toplevel"))
            paths = [f"{folder}{path}" for path in absent]
            missing = fetch(top, commit, paths, run.tree)
        for path, reason in missing.items():
            name = path.removeprefix(run.revision.folder)
            if not _take(run, name, recorded[name]):
                run.missing[name] = reason
    what, count = "files from git and DVC", len(recorded)
    if not run.missing:
        run.add(Check("inputs", what, IDENTICAL, count))
        return
    details = tuple(f"{name}: {reason}" for name, reason in run.missing.items())
    run.add(Check("inputs", what, MISSING, count, len(details), details=details))


def recorded_files(run: AuditRun) -> dict[str, str]:
    """Hash of every file that the valuation read or wrote, by its path in the project."""
    folder = run.project.relative(run.project.valuation)
    outputs = {f"{folder}/{name}": value for name, value in run.manifest["outputs"].items()}
    return {**run.manifest["inputs"], **outputs}


def _take(run: AuditRun, path: str, recorded: str) -> bool:
    """Copy a file of the user's that is the recorded one."""
    source, target = run.user.root / path, run.project.root / path
    if not source.is_file() or sha256(source) != recorded:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return True
