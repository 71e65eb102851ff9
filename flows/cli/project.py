"""Commands that make a project ready: fetch, prepare, suites, validate, pretrain, curvature."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.common import JsonOption, ProjectOption, print_json, reported, start, warn
from unshapley.project import Project


@reported
def fetch(project: ProjectOption = Path()) -> None:
    """Write the rows of the query in section fetch to data/raw, as they are now.

    `run` does not do so: a valuation speaks of the rows that were fetched.
    """
    from flows.runtime.locks import only_run
    from unshapley.config import load_params
    from unshapley.data.fetching import fetch as write

    paths = Project(project)
    params = load_params(paths.params)
    with only_run(paths):
        path, rows = write(params.fetch, paths.raw)
    print(f"{path}: {rows} rows")


@reported
def prepare(project: ProjectOption = Path()) -> None:
    """Write partitions, test and reference set from digits or from data/raw."""
    from flows.runtime.portable import parameters

    paths = Project(project)
    params = parameters(paths)
    from flows.preflight import Step, preflight
    from flows.runtime.locks import only_run
    from unshapley.data.preparation import prepare as write
    from unshapley.data.tables import unit

    with only_run(paths):
        preflight(paths, params, Step.PREPARE)
        for provider, rows in write(paths, params).items():
            print(f"{provider}: {rows} training {unit(params.prepare.task)}")


@reported
def suites(project: ProjectOption = Path()) -> None:
    """Write the expectation suites that params.yaml and the prepared data ask for."""
    start(project)
    from flows.preflight import Step, preflight
    from flows.runtime.locks import only_run
    from tasks.expectations.suites import save_suites
    from unshapley.config import load_params
    from unshapley.data.tables import Schema

    paths = Project(project)
    params = load_params(paths.params)
    with only_run(paths):
        preflight(paths, params, Step.SUITES)
        schema = Schema.load(paths.schema)
        for path in save_suites(paths.expectations, schema, params.validation):
            print(path)


@reported
def validate(
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
    data_docs: Annotated[
        Path | None, typer.Option(help="Also write Great Expectations' pages to this folder.")
    ] = None,
) -> None:
    """Check partitions, test and reference set against data/expectations.

    Exit code 2 if a table breaks its expectations and the policy is to stop.

    Examples: `unshapley validate` · `unshapley validate --data-docs docs-out`
    """
    start(project)
    from flows.preflight import Step, preflight
    from flows.runtime.progress import phases
    from tasks.expectations.validation import validate_project, verdict
    from unshapley.config import load_params

    paths = Project(project)
    params = load_params(paths.params)
    preflight(paths, params, Step.VALIDATE)
    progress = phases("validating", "tables")
    reports = validate_project(paths, params.valuation.targets, progress=progress)
    if data_docs:
        from tasks.expectations.data_docs import write_data_docs

        warn(f"Data Docs: {write_data_docs(paths, data_docs)}")
    if as_json:
        print_json(reports)
    else:
        for report in reports:
            texts = [*report["critical"], *(f"(warning) {t}" for t in report["warnings"])]
            print(f"{report['table']}: {'; '.join(texts) or 'meets all expectations'}")
    verdict(reports, params.validation.policy)


@reported
def pretrain(
    project: ProjectOption = Path(),
    replace: Annotated[
        bool, typer.Option("--replace", help="Also in place of a model that was imported.")
    ] = False,
) -> None:
    """Validate, then pretrain the model and store it with its curvature statistics."""
    start(project)
    from flows.runtime.portable import parameters

    paths = Project(project)
    params = parameters(paths)
    from flows.preflight import Step, preflight
    from flows.pretrain import pretrain as train
    from flows.runtime.locks import only_run
    from flows.runtime.progress import phases

    with only_run(paths):
        preflight(paths, params, Step.PRETRAIN)
        record = train(paths, params, phases, replace=replace)
    print(", ".join(f"{name} {value:.4f}" for name, value in record.score.items()))
    if record.recipe.patience is not None:
        print(f"weights of step {record.steps} of {record.recipe.steps}: best on the reference set")
    if record.convergence is not None:
        print(record.convergence.sentence())
    for provider, reason in record.quarantined.items():
        warn(f"quarantined {provider}: {reason}")


@reported
def curvature(
    project: ProjectOption = Path(),
    provider: Annotated[
        list[str] | None,
        typer.Option(help="Only of this provider, in the basis there is; may be repeated."),
    ] = None,
) -> None:
    """Store curvature statistics of every provider's rows, so that newton can forget them unread.

    Pretraining does so too. With --provider only that provider's rows are read, beside model,
    data/curvature, schema and params.yaml: run it where the rows are, and hand its file over.

    Examples: `unshapley curvature` · `unshapley curvature --provider cleveland`
    """
    from flows.runtime.portable import parameters

    paths = Project(project)
    params = parameters(paths)
    from flows.runtime.locks import only_run
    from flows.runtime.progress import phases
    from unshapley.curvature.renewing import renew
    from unshapley.valuing.checks import check_parameters

    with only_run(paths):
        check_parameters(params, importing=False)  # an unlearner need not be where the rows are
        progress = phases("statistics", "passes over a provider's rows")
        record = renew(paths, params.curvature, provider or (), progress)
    for name in provider or record.providers:
        print(f"{name}: {record.providers[name].rows} rows")


COMMANDS = (fetch, prepare, suites, validate, pretrain, curvature)
