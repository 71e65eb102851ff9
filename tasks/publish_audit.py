"""Task: write the outcome of an audit, and show it as Prefect artifacts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from unshapley.audit.report import write_audit

log = logging.getLogger("unshapley.publish")


@task(name="publish audit", cache_policy=NO_CACHE, persist_result=False)
def publish_audit(folder: Path, summary: Mapping[str, Any]) -> None:
    """Write audit.json and audit.html, and the artifacts."""
    write_audit(folder, summary)
    try:
        show(folder, summary)
    except Exception as error:  # noqa: BLE001 (artifacts are optional: the outputs are on disk)
        log.warning("artifacts could not be shown in Prefect: %s", error)


def show(folder: Path, summary: Mapping[str, Any]) -> None:
    """Verdict and checks as Prefect artifacts."""
    columns = ("step", "what", "outcome", "compared", "differing", "largest", "tolerance")
    rows = [{name: check[name] for name in columns} for check in summary["checks"]]
    create_table_artifact(rows, key="audit-checks", description="Checks of the audit")
    revision = summary["revision"]
    text = f"**{summary['verdict']}**: {revision['name']}, commit {revision['commit'][:8]}"
    if summary["since"]:
        text += f", since step {summary['since']}"
    create_markdown_artifact(
        f"{text}\n\nPage: `{folder}`", key="audit", description="Verdict of the audit"
    )
