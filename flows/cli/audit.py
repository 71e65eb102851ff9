"""The command that repeats a recorded valuation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.common import (
    JsonOption,
    ProjectOption,
    VerboseOption,
    print_json,
    reported,
    start,
)
from unshapley.project import Project

if TYPE_CHECKING:
    from flows.audit_steps.revision import Revision


@reported
def audit(
    revision: Annotated[
        str | None,
        typer.Argument(metavar="[REV|TAG|MANIFEST]", help="What is audited; the last commit."),
    ] = None,
    project: ProjectOption = Path(),
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Coalitions measured again; else a quarter of the run's work."),
    ] = None,
    retrain: Annotated[
        int, typer.Option(min=0, help="Recorded retrainings repeated, and so many others made.")
    ] = 2,
    everything: Annotated[
        bool, typer.Option("--all", help="Measure every coalition again.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Draws what is measured again; at random.")
    ] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Repeat a recorded valuation from git and DVC, and say whether it was reproduced.

    Works in a temporary work tree; your files stay as they are. Exit code 0: reproduced, also
    within tolerance; 4: not reproduced; 5: not checkable. See docs/auditing.md.

    Examples: `unshapley audit` · `unshapley audit valuation/2026-11-27-5f11f194 --all`
    """
    start(project, verbose=verbose)
    from flows.runtime.portable import restart_if
    from flows.runtime.server import embedded_server

    found, numerics = _found(Project(project), revision)
    restart_if(numerics)

    with embedded_server() as server:
        from flows.audit import audit as audit_flow
        from unshapley.audit.settings import AuditSettings, any_seed
        from unshapley.audit.verdict import NotCheckableError, NotReproducedError

        settings = AuditSettings(
            sample=sample,
            retrain=retrain,
            everything=everything,
            seed=any_seed() if seed is None else seed,
        )
        server.wait()
        failure = None
        try:
            summary = audit_flow(project=project, revision=found, settings=settings)
        except (NotReproducedError, NotCheckableError) as error:  # no fault of the run
            failure, summary = error, dict(error.summary)
    _print(summary, as_json)
    if failure:
        raise failure


def _found(project: Project, revision: str | None) -> tuple[Revision, str]:
    """The commit that is audited, and `valuation.numerics` of its valuation."""
    from flows.audit_steps.revision import find_revision, recorded_numerics
    from flows.refresh_steps.repository import Repository
    from flows.runtime.locks import only_audit

    with only_audit(project) as lock:
        repo = Repository(project.root, lock)
        found = find_revision(project, repo, revision)
        return found, recorded_numerics(project, repo, found)


def _print(summary: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(summary)
        return
    from flows.cli.printing_records import print_audit

    print_audit(summary)


COMMANDS = (audit,)
