"""Publish a valuation: its files are staged whole, then renamed into place, the manifest last."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from unshapley import environment
from unshapley.chain import MANIFEST, committed, predecessor
from unshapley.config import Params
from unshapley.files import sha256, unwritable, write_json
from unshapley.inputs import Inputs
from unshapley.modelstore import ModelRecord
from unshapley.project import Project
from unshapley.report import render_report
from unshapley.rows import write_table
from unshapley.utilities import source_of_utilities
from unshapley.valuation import (
    Valuation,
    convergence_table,
    differences_table,
    fidelity_table,
    interactions_table,
    metrics,
    semivalues_table,
    utilities_table,
    values_table,
)

SCHEMA_VERSION = 1
RUN = "run.json"


def publish(
    project: Project,
    params: Params,
    valuation: Valuation,
    source: Inputs,
    validation: Sequence[Mapping[str, Any]],
) -> Path:
    """Write all outputs but run.json; give their folder.

    A trusted valuation goes to data/valuation, any other to data/untrusted, leaving the last good
    one alone. Raises `InputError`, with nothing half-written, where the disk refuses.
    """
    environment.check_sources()
    folder = project.valuation if is_published(valuation, params) else project.untrusted
    inputs = hash_inputs(project, source.record, source.statistics)
    provenance = describe(params, valuation, inputs)
    try:
        for left in folder.parent.glob(".staged-*"):  # of a run that was killed here
            shutil.rmtree(left)
        staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".staged-"))
    except OSError as error:
        raise unwritable(folder, error) from None
    try:
        _stage(staging, valuation, validation, provenance)
        outputs = {
            p.relative_to(staging).as_posix(): sha256(p)
            for p in sorted(staging.rglob("*"))
            if p.is_file()
        }
        content = {**provenance, "outputs": outputs}
        content["previous"] = predecessor(content, committed(project.root, project.valuation))
        write_json(staging / MANIFEST, content)
        # without its manifest a valuation is none: nobody takes a mix of two for one
        (folder / MANIFEST).unlink(missing_ok=True)
        for name in [*outputs, MANIFEST]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).replace(folder / name)
    except OSError as error:
        raise unwritable(folder, error) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def is_published(valuation: Valuation, params: Params) -> bool:
    """Whether the fidelity check, or the user where nothing was checked, lets the values out."""
    status = valuation.fidelity.status
    return status == "trusted" or (status == "unchecked" and params.fidelity.publish_unchecked)


def hash_inputs(
    project: Project, record: ModelRecord, statistics: Sequence[tuple[Path, str]]
) -> dict[str, str]:
    """Hash of every file that the valuation read, by its path in the project.

    Those of model, statistics, rows and sets are as recorded, which loading has checked; rows that
    were not reachable were not read.
    """
    checked = {
        project.test: record.test,
        project.reference: record.reference,
        **{project.model / name: value for name, value in record.files.items()},
        **{
            project.partition(p): value
            for p, value in record.partitions.items()
            if project.partition(p).is_file()
        },
        **dict(statistics),
    }
    read = [
        project.schema,
        project.model / "model.json",
        *(project.partition(p) for p in project.providers() if p not in record.partitions),
        *sorted(project.expectations.glob("*.json")),
    ]
    hashes = {**{path: sha256(path) for path in read}, **checked}
    return {project.relative(path): value for path, value in hashes.items()}


def describe(params: Params, valuation: Valuation, inputs: Mapping[str, str]) -> dict[str, Any]:
    """The manifest but for the outputs: a function of inputs, parameters, code and environment."""
    config = params.model_dump(mode="json", exclude={"run"})
    return {
        "schema_version": SCHEMA_VERSION,
        "code": environment.code(),
        "versions": environment.versions(),
        "numerics": environment.numerics(params.valuation.device),
        "config": config,
        "seeds": {
            section: config[section]["seed"]
            for section in ("prepare", "pretrain", "valuation", "fidelity")
        },
        "inputs": dict(inputs),
        "players": list(valuation.players),
        "quarantined": dict(valuation.quarantined),
        "unlearner": list(valuation.unlearner),
        "game": valuation.game,
        "own_utilities": source_of_utilities(params.valuation.utilities),
        "estimator": {"name": valuation.plan.estimator, "reason": valuation.plan.reason},
        "coalitions": {
            "planned": len(valuation.plan.coalitions),
            "measured": len(valuation.utilities[valuation.primary]),
        },
        "fidelity": valuation.fidelity.summary(),
    }


def _stage(
    staging: Path,
    valuation: Valuation,
    validation: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Any],
) -> None:
    _csv(values_table(valuation), staging / "values.csv")
    _csv(differences_table(valuation), staging / "differences.csv")
    _csv(interactions_table(valuation), staging / "interactions.csv")
    _csv(semivalues_table(valuation), staging / "semivalues.csv")
    _csv(convergence_table(valuation), staging / "plots" / "convergence.csv")
    _csv(fidelity_table(valuation), staging / "plots" / "fidelity.csv")
    write_table(utilities_table(valuation), staging / "utilities.parquet")
    write_json(staging / "metrics.json", metrics(valuation))
    write_json(staging / "validation.json", list(validation))
    page = render_report(valuation, validation, provenance)
    (staging / "report.html").write_text(page, encoding="utf-8")


def _csv(frame: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False, lineterminator="\n")
