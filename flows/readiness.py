"""What a project lacks before a valuation can run, done in its order and said."""

from __future__ import annotations

from collections.abc import Callable

import yaml

from flows.preflight import Step, preflight
from flows.pretrain import pretrain
from flows.runtime.clusters import check_cluster
from flows.runtime.progress import phases
from tasks.expectations.suites import KINDS, save_suites
from unshapley.config import Params
from unshapley.data.preparation import check_prepared, prepare, source_hashes
from unshapley.data.tables import Schema, unit
from unshapley.errors import InputError
from unshapley.game.statistics_use import lacking
from unshapley.models.staleness import changed_rows, check_imported
from unshapley.models.store import ModelRecord
from unshapley.project import Project

Say = Callable[[str], None]


def make_ready(project: Project, params: Params, say: Say) -> None:
    """Prepare, write suites and pretrain where that is missing or stale; `say` is told why.

    Nothing is done in a project whose dvc.yaml names the stages: there DVC does it, and a run says
    what is stale. Raises `InputError` where the cluster that is to value it does not answer.
    """
    check_cluster(params.run)
    if _is_of_dvc(project):
        return
    make_tables_ready(project, params, say)
    if reason := _why_pretrain(project, params):
        say(f"pretraining: {reason}")
        preflight(project, params, Step.PRETRAIN)
        score = pretrain(project, params, phases).score
        say("  " + ", ".join(f"{name} {value:.4f}" for name, value in score.items()))


def make_tables_ready(project: Project, params: Params, say: Say) -> None:
    """Prepare and write suites, as `make_ready` does."""
    if _is_of_dvc(project):
        return
    preflight(project, params, Step.PREPARE)
    if reason := why_prepare(project, params):
        say(f"preparing: {reason}")
        for provider, rows in prepare(project, params).items():
            say(f"  {provider}: {rows} training {unit(params.prepare.task)}")
    if not all((project.expectations / f"{kind}.json").is_file() for kind in KINDS):
        say("writing expectation suites: there are none")
        save_suites(project.expectations, Schema.load(project.schema), params.validation)


def _is_of_dvc(project: Project) -> bool:
    path = project.root / "dvc.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    return bool({"prepare", "pretrain"} & set((content or {}).get("stages", {})))


def why_prepare(project: Project, params: Params) -> str:
    """Why tables must be prepared; empty if they need not be."""
    if not project.schema.is_file():
        return "nothing is prepared"
    schema = Schema.load(project.schema)
    try:
        check_prepared(schema, params, project.schema)
    except InputError as error:
        return error.what
    if params.prepare.source == "files" and project.raw.is_dir() and any(project.raw.iterdir()):
        now = source_hashes(project, params.prepare)
        if schema.sources and now != schema.sources:
            changed = {n for n in {*now, *schema.sources} if now.get(n) != schema.sources.get(n)}
            return f"changed since: {', '.join(sorted(changed)[:5])}"
    return ""


def _why_pretrain(project: Project, params: Params) -> str:
    """Why the model must be trained; empty if it need not be. An imported one never is: raises
    `InputError` if it is stale.
    """
    if not (project.model / "model.json").is_file():
        return "there is no model"
    record = ModelRecord.load(project.model)
    if record.imported is not None:
        check_imported(project, record, Schema.load(project.schema).providers)
        return ""
    if record.recipe != params.pretrain:
        return "section pretrain of params.yaml changed"
    return next(changed_rows(project, record), "") or lacking(project, params.valuation, record)
