"""Step: the verdict, written and shown; an error where the valuation was not reproduced."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from flows.audit_steps.run import AuditRun
from tasks.publish_audit import publish_audit
from unshapley import environment
from unshapley.audit.surroundings import differences, is_other_code, rebuild_commands
from unshapley.audit.verdict import Verdict, error_of
from unshapley.files import sha256
from unshapley.results.layout import MANIFEST

log = logging.getLogger("unshapley.run")


def publish_verdict(run: AuditRun) -> dict[str, Any]:
    """Write audit.json and audit.html to data/audit of the user's project; the content.

    Raises `NotReproducedError` or `NotCheckableError` where that is the verdict.
    """
    found = differences(run.manifest)
    verdict = Verdict(tuple(run.checks), is_other_code(found))
    settings, revision = run.settings, run.revision
    sample = run.figures.get("measured", {}).get("coalitions", settings.sample)
    amount = "--all" if settings.everything else f"--sample {sample}" if sample else ""
    folder = run.user.data / "audit" / revision.commit[:8]
    device = run.params.valuation.device
    summary = {
        **verdict.summary(),
        "revision": {
            "name": revision.name,
            "commit": revision.commit,
            "manifest": sha256(run.project.valuation / MANIFEST),
        },
        "settings": settings.model_dump(mode="json"),
        "figures": run.figures,
        "surroundings": {
            "numerics": environment.numerics(device),
            "versions": environment.versions(),
            "code": environment.code(),
        },
        "differences": [asdict(difference) for difference in found],
        "rebuild": rebuild_commands(run.manifest),
        "repeat": f"unshapley audit {revision.commit} {amount} --retrain {settings.retrain} "
        f"--seed {settings.seed}".replace("  ", " "),
        "seconds": {name: round(value, 3) for name, value in run.tracker.seconds.items()},
        "folder": str(folder),
    }
    publish_audit(folder, summary)
    log.info("audit of %s: %s", revision.name, verdict.outcome)
    error = error_of(verdict, summary)
    if error is not None:
        raise error
    return summary
