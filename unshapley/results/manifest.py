"""The manifest: all that is needed to repeat a valuation, and the hashes of its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unshapley import environment
from unshapley.config import Params
from unshapley.files import sha256
from unshapley.game.utilities import build_utilities, sources_of
from unshapley.models.store import ModelRecord
from unshapley.project import Project
from unshapley.results.layout import SCHEMA_VERSION
from unshapley.results.valuation import Valuation, calibration_summary


def hash_inputs(
    project: Project, record: ModelRecord, statistics: Sequence[tuple[Path, str]]
) -> dict[str, str]:
    """Hash of every file that the valuation read, by its path in the project.

    The hashes of model, statistics, partitions, test and reference set are those of the records,
    which were checked when the files were loaded. Absent partitions were not read.
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
    """The manifest without its outputs: it depends on inputs, parameters, code and environment."""
    config = params.recorded()
    return {
        "schema_version": SCHEMA_VERSION,
        "code": environment.code(),
        "versions": environment.versions(),
        "numerics": environment.numerics(params.valuation.device),
        "config": config,
        "seeds": {
            section: config[section]["seed"]
            for section in (
                "prepare",
                "pretrain",
                "valuation",
                "calibration",
                "fidelity",
                "correction",
            )
        },
        "inputs": dict(inputs),
        "players": list(valuation.players),
        "quarantined": dict(valuation.quarantined),
        "unlearner": list(valuation.unlearner),
        "game": valuation.game,
        "own_utilities": sources_of(build_utilities(params.valuation.utilities)),
        "estimator": {"name": valuation.plan.estimator, "reason": valuation.plan.reason},
        "coalitions": {
            "planned": len(valuation.plan.coalitions),
            "measured": len(valuation.measured),
        },
        "calibration": calibration_summary(valuation),
        "tolerance": dict(valuation.tolerance),
        "fidelity": valuation.fidelity.summary(),
        **_origin(valuation),
    }


def _origin(valuation: Valuation) -> dict[str, Any]:
    """Where the model comes from, if it was imported: section pretrain does not say so then."""
    if valuation.origin is None:
        return {}
    return {"model": valuation.origin.model_dump(mode="json")}
