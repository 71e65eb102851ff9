"""Put a project under git and DVC: the stages, what both leave alone, and what is made already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from flows.readiness import why_prepare
from flows.refresh_steps.imported import DVC_FILES
from flows.refresh_steps.rawtables import dvc_file
from flows.refresh_steps.repository import Repository
from unshapley.config import Params
from unshapley.data.sources import table_files
from unshapley.errors import InputError
from unshapley.files import read_json, written_whole
from unshapley.game.statistics_use import lacking
from unshapley.models.staleness import changed_rows
from unshapley.models.store import ModelRecord
from unshapley.project import Project
from unshapley.results.integrity import altered_files
from unshapley.results.layout import MANIFEST

HEAD = "# prepare → pretrain → valuation; `dvc repro` runs what is not up to date.\n"
GIT_LEAVES = (
    "__pycache__/", ".prefect/", ".unshapley/", "data/untrusted/", "data/valuation/run.json",
    "data/.staged-*", "data/audit/", "data/fidelity/", "data/curves/",
)  # fmt: skip
STATISTICS_OF_TEXT = ["valuation.options", "valuation.targets", "valuation.unlearner"]
"""By which pretraining leaves the statistics of a language model out, or not."""
DVC_LEAVES = ("__pycache__", "data/raw/.*")


@dataclass
class Tracked:
    """What was done: stages of dvc.yaml; recorded, of them, without running; added: inputs that DVC
    tracks now; stale: why a stage is not recorded, so that `dvc repro` runs it.
    """

    stages: list[str] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    stale: dict[str, str] = field(default_factory=dict)


def track(project: Project, params: Params, repo: Repository) -> Tracked:
    """Write dvc.yaml, .gitignore and .dvcignore, and have DVC track inputs and what is up to date.

    Nothing is computed and nothing committed. Raises `InputError` where the project is tracked
    already, is no folder of its own in git, or has rows that no file holds.
    """
    _check(project, params, repo)
    if repo.try_git("rev-parse", "--git-dir") is None:
        repo.git("init", "-q", "-b", "main")
    if not (project.root / ".dvc").is_dir():
        repo.dvc("init", "-q")
    _append(project.root / ".gitignore", GIT_LEAVES)
    _append(project.root / ".dvcignore", DVC_LEAVES)
    record = _model(project)
    imported = record is not None and record.imported is not None
    content = _write_stages(project, params, without_pretrain=imported)
    done = Tracked(stages=list(content))
    for path in (Path(name) for name in cached_outputs(content)):
        _append(project.root / path.parent / ".gitignore", (f"/{path.name}",))
    inputs = [path.relative_to(project.root).as_posix() for path in table_files(project.raw)]
    inputs += [name.removesuffix(".dvc") for name in DVC_FILES if imported]
    new = [path for path in inputs if not dvc_file(project.root / path).exists()]
    if new:
        repo.dvc("add", "-q", *new)
    done.added = new
    for stage, stale in _why_stale(project, params, record).items():
        if stage not in done.stages:
            continue
        if stale or done.stale:
            done.stale[stage] = stale or f"stage {next(iter(done.stale))} comes before it"
        else:
            repo.dvc("commit", "-q", "--force", stage)
            done.recorded.append(stage)
    return done


def _check(project: Project, params: Params, repo: Repository) -> None:
    if (project.root / "dvc.yaml").exists():
        raise InputError("stands there already", where=project.root / "dvc.yaml")
    top = repo.try_git("rev-parse", "--show-toplevel")
    if top is not None and Path(top).resolve() != project.root.resolve():
        raise InputError(
            f"lies in the git repository {top}",
            where=project.root,
            expected="a repository of its own, whose commits and tags are its valuations",
            do="move it out, or run `git init` in it, then this command again",
        )
    if params.prepare.source != "files":
        return
    nested = set(table_files(project.raw, nested=True)) - set(table_files(project.raw))
    if nested or not table_files(project.raw):
        raise InputError(
            f"{min(nested).relative_to(project.raw)} lies in a folder"
            if nested
            else "holds no table",
            where=project.raw,
            expected="the tables that are valued, each a file of its own, as deliveries are",
            do="put them into data/raw itself; with a column of providers they may be one table",
        )


def _model(project: Project) -> ModelRecord | None:
    there = (project.model / "model.json").is_file()
    return ModelRecord.load(project.model) if there else None


def stages(*, text: bool = False) -> dict[str, Any]:
    """The stages of a project, by name; text: of a language model."""
    written = files("flows.refresh_steps").joinpath("stages.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(written)["stages"]
    if text:
        content["pretrain"]["params"] += STATISTICS_OF_TEXT
    return content


def cached_outputs(content: Mapping[str, Any]) -> Iterator[str]:
    """What DVC keeps and git must not: it refuses outputs that git tracks."""
    for stage in content.values():
        for entry in stage["outs"]:
            path, options = next(iter(entry.items())) if isinstance(entry, dict) else (entry, {})
            if options.get("cache", True):
                yield path


def _write_stages(project: Project, params: Params, *, without_pretrain: bool) -> dict[str, Any]:
    content = stages(text=params.prepare.task == "language-model")
    if without_pretrain:
        del content["pretrain"]
    with written_whole(project.root / "dvc.yaml") as part:
        text = yaml.safe_dump({"stages": content}, sort_keys=False, width=100)
        part.write_text(HEAD + text, encoding="utf-8")
    return content


def _append(path: Path, lines: tuple[str, ...]) -> None:
    """Add the lines that a file does not have yet."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    new = [line for line in lines if line not in old.splitlines()]
    if new:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = old if not old or old.endswith("\n") else f"{old}\n"
        with written_whole(path) as part:
            part.write_text(text + "\n".join(new) + "\n", encoding="utf-8")


def _why_stale(project: Project, params: Params, record: ModelRecord | None) -> dict[str, str]:
    """Why the outputs of each stage cannot be recorded as they are; empty where they can."""
    return {
        "prepare": why_prepare(project, params),
        "pretrain": _pretrained(project, params, record),
        "valuation": _valued(project),
    }


def _pretrained(project: Project, params: Params, record: ModelRecord | None) -> str:
    if record is None:
        return "there is no model"
    if record.imported is None and record.recipe != params.pretrain:
        return "section pretrain of params.yaml changed"
    return next(changed_rows(project, record), "") or lacking(project, params.valuation, record)


def _valued(project: Project) -> str:
    path = project.valuation / MANIFEST
    if not path.is_file():
        return "nothing is published"
    altered = altered_files(project, read_json(path, do="run `unshapley run`"))
    return f"{altered[0].path} {altered[0].problem}" if altered else ""
