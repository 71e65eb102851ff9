"""Fetch → check the record → open → measure again → retrain → derive → publish the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from flows.audit_steps.deriving import derive_again
from flows.audit_steps.fetching import fetch_inputs
from flows.audit_steps.measuring import measure_again
from flows.audit_steps.opening import open_record
from flows.audit_steps.publishing import publish_verdict
from flows.audit_steps.recording import check_record
from flows.audit_steps.retraining import retrain_again
from flows.audit_steps.revision import Revision
from flows.audit_steps.run import running_audit
from flows.runtime.guard import check_allowed
from unshapley.audit.settings import AuditSettings


def _run_name() -> str:
    return f"audit of {Path(flow_run.parameters['project']).resolve().name}"


@flow(name="audit", flow_run_name=_run_name)
def audit(
    project: Path = Path(),
    revision: Revision | str | None = None,
    settings: AuditSettings | None = None,
) -> dict[str, Any]:
    """Repeat a recorded valuation, and say whether it was reproduced.

    Args:
        project: a git checkout, whose files, index and lock stay as they are.
        revision: a commit, a tag or a manifest file, or what was found for it; left out, the last
            commit.
        settings: how much is measured again, and by which seed it is drawn.

    """
    check_allowed(project, revision=revision if isinstance(revision, str) else None)
    with running_audit(project, revision, settings or AuditSettings()) as run:
        fetch_inputs(run)
        opened = open_record(run) if check_record(run) else None
        if opened:
            measured = measure_again(run, opened)
            retrain_again(run, opened, measured)
            derive_again(run, opened, measured)
        return publish_verdict(run)
