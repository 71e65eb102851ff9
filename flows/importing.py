"""In place of the pretrain stage: validate, then take a model that was trained elsewhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import yaml

from flows.preflight import Step, check_labels, preflight
from tasks.expectations.validation import validate_project, verdict
from unshapley.config import Params, PretrainSettings
from unshapley.data.tables import Schema
from unshapley.errors import InputError
from unshapley.game.importing import Imported
from unshapley.game.importing import import_model as take
from unshapley.game.model_source import CONSTANT, Source
from unshapley.models.checkpoints import kind_of
from unshapley.models.exported import ARCHITECTURE
from unshapley.models.exported_reading import read_program
from unshapley.models.huggingface import folder_of
from unshapley.models.huggingface_folders import ARCHITECTURE as OF_HUGGINGFACE
from unshapley.models.huggingface_folders import arguments_of, weights_of
from unshapley.models.own_tokens import check_tokens
from unshapley.progress import Phases, silent_phases
from unshapley.project import Project

FRESH = "fresh"


def source_of(
    checkpoint: Path,
    stated: PretrainSettings,
    *,
    architecture: str | None = None,
    kwargs: str | None = None,
    initial: Path | None = None,
    none: str | None = None,
    recipe: str | None = None,
    accept_score: bool = False,
    text: bool = False,
) -> Source:
    """What the options of a command say of a model; `InputError` for one that is wrong.

    stated: section pretrain, which holds for what is not said; text: whether rows are text.
    """
    if recipe not in (None, "project"):
        raise InputError(f"{recipe!r} is no recipe", where="--recipe", expected="project, or none")
    if initial is not None and none is not None:
        raise InputError("--initial says it already", where="--none", do="leave one of them out")
    name, _, seed = (none or f"{FRESH}:{stated.seed}").partition(":")
    if name not in (FRESH, CONSTANT) or (name == FRESH and not (seed.isascii() and seed.isdigit())):
        raise InputError(
            f"{none!r} stands for nothing", where="--none", expected="fresh:SEED, or constant"
        )
    arguments = _arguments(kwargs, stated.kwargs if architecture is None else {})
    if text and checkpoint.is_dir():
        arguments = arguments_of(checkpoint, _arguments(kwargs, {}))
        if arguments["adapters"] is None and initial is None:
            raise InputError(
                "the weights before training are not stated, and U(none) is the model with them",
                where="--initial",
                expected="the folder of the model that was fine-tuned",
                do="name it: --initial FOLDER",
            )
        checkpoint, architecture = weights_of(checkpoint), OF_HUGGINGFACE
        initial = weights_of(initial) if initial is not None and initial.is_dir() else initial
    if kind_of(checkpoint) == "torch.export":
        if architecture is not None or kwargs is not None:
            raise InputError(
                "an exported program has its own", where="--architecture", do="leave it out"
            )
        architecture, arguments = ARCHITECTURE, {"graph": read_program(checkpoint)[0]}
    return Source(
        model=checkpoint,
        architecture=architecture or stated.architecture,
        kwargs=arguments,
        initial=CONSTANT if name == CONSTANT else initial,
        seed=int(seed) if seed else stated.seed,
        recipe_known=recipe is not None,
        accept_score=accept_score,
    )


def _arguments(given: str | None, stated: dict[str, object]) -> dict[str, object]:
    if given is None:
        return stated
    try:
        found = json.loads(given)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(
            f"{given!r} is no JSON object",
            where="--kwargs",
            expected="arguments by name, '{\"hidden\": [32]}'",
        )
    return found


def import_model(
    project: Project, params: Params, source: Source, phases: Phases = silent_phases
) -> Imported:
    """Write data/model; raises `ValidationError` if rows are bad, whoever trained on them, and
    `InputError` where DVC would train over the model.
    """
    path = project.root / "dvc.yaml"
    stages = (yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None) or {}
    if "pretrain" in stages.get("stages", {}):
        raise InputError(
            "stage pretrain would train another model over the imported one",
            where=path,
            do="remove the stage, import again, then `dvc add data/model data/curvature`",
        )
    if source.architecture == OF_HUGGINGFACE and project.tokenizer.is_file():
        check_tokens(folder_of(source.kwargs), project.tokenizer)
    preflight(project, params, Step.VALIDATE)
    check_labels(project, params, Schema.load(project.schema))
    reports = validate_project(project, progress=phases("validating", "tables"))
    quarantined = verdict(reports, params.validation.policy)
    imported = take(project, params, source, phases)
    notes = [
        f"{name} is quarantined ({reason}), but in the model: it stays in every coalition"
        for name, reason in quarantined.items()
    ]
    return replace(imported, notes=[*imported.notes, *notes])
