"""Commands that value the providers, and show the last valuation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.common import (
    JsonOption,
    ProjectOption,
    VerboseOption,
    print_json,
    reported,
    start,
    warn,
)
from unshapley.errors import InputError
from unshapley.project import Project


@reported
def run(
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no table.")] = False,
) -> None:
    """Value the providers: validate, unlearn, aggregate, check, publish.

    A run that was killed goes on where it stopped. What is missing or stale before it (prepare,
    suites, pretrain) is done and said, but where dvc.yaml names these stages: there it is DVC's.

    Examples: `unshapley run` · `unshapley run --project my-data --json`
    """
    start(project, verbose=verbose)
    from flows.runtime.locks import only_run
    from flows.runtime.portable import parameters
    from flows.runtime.server import embedded_server

    paths = Project(project)
    params = parameters(paths)
    with embedded_server() as server:  # starts while we import, and check what can be checked
        from flows.preflight import foreseen, preflight
        from flows.readiness import make_ready
        from flows.valuation import valuation

        with only_run(paths):
            make_ready(paths, params, warn)
            preflight(paths, params)
            for reason in foreseen(paths, params):
                warn(f"warning: {reason}, unless fidelity.publish_unchecked is true")
        if server.process:
            warn(f"Prefect's embedded server: home {os.environ['PREFECT_HOME']}")
        server.wait()
        summary = valuation(project=project, params=params)
    if as_json:
        print_json(summary)
    elif not quiet:
        _print(paths)


@reported
def report(
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
    in_browser: Annotated[
        bool, typer.Option("--open", help="Open the report in the browser instead.")
    ] = False,
) -> None:
    """Show the last valuation: values, figures and where the report lies.

    Examples: `unshapley report --open` · `unshapley report --json | jq .values`
    """
    if in_browser:
        _open(Project(project))
    elif as_json:
        from unshapley.analysis.summary import summarize_valuation

        print_json(summarize_valuation(Project(project)))
    else:
        _print(Project(project))


def _open(project: Project) -> None:
    import webbrowser

    from unshapley.results.published import require_published

    require_published(project)
    path = project.valuation / "report.html"
    if not path.is_file():
        raise InputError("is missing", where=path, do="fetch it with `dvc pull`, or run again")
    opened = webbrowser.open(path.resolve().as_uri())
    print(f"opened: {path}" if opened else f"no browser was found; the report is {path}")


def _print(project: Project) -> None:
    from flows.cli.printing import print_valuation
    from unshapley.analysis.summary import summarize_valuation

    print_valuation(summarize_valuation(project))


COMMANDS = (run, report)
