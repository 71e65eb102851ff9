"""Whether the stored statistics of a language model are read by anything that is configured.

They cost as much as several retrainings of a large model, and where every coalition is retrained
nothing reads them. Of tables they are cheap, and always stored.
"""

from __future__ import annotations

from unshapley.config import ValuationSettings
from unshapley.curvature.store import CurvatureRecord
from unshapley.errors import InputError
from unshapley.models.store import ModelRecord
from unshapley.project import Project
from unshapley.unlearning import build_unlearner


def statistics_are_read(settings: ValuationSettings, record: ModelRecord) -> bool:
    """Whether the configured unlearner may read the statistics of a model.

    Where targets are named, rows of the others may be out of reach, so that `auto` cannot retrain.
    """
    unlearner = build_unlearner(settings.unlearner, settings.options)
    if not record.text:
        return True
    if settings.targets or not record.recipe_known:
        return unlearner.needs is not None
    return unlearner.reads_statistics(len(record.partitions))


def left_out(project: Project, record: ModelRecord) -> bool:
    """Whether pretraining left out the statistics, which only those of text are.

    Raises `InputError` where there is no record of them.
    """
    return record.text and CurvatureRecord.load(project.curvature).left_out


def lacking(project: Project, settings: ValuationSettings, record: ModelRecord) -> str:
    """Why statistics must be computed that pretraining left out; empty if they need not be."""
    if not (project.curvature / "curvature.json").is_file():
        return ""
    if left_out(project, record) and statistics_are_read(settings, record):
        return _reason(settings.unlearner)
    return ""


def check_statistics(project: Project, record: ModelRecord, unlearner: str) -> None:
    """Raise `InputError` where pretraining left out the statistics that an unlearner reads."""
    if left_out(project, record):
        raise InputError(
            _reason(unlearner),
            where=project.curvature / "curvature.json",
            do="run `unshapley curvature` (or `dvc repro`)",
        )


def _reason(unlearner: str) -> str:
    return (
        f"{unlearner} reads statistics of the model, and pretraining left them out, as no "
        "coalition would have read them"
    )
