"""Write the statistics of a project's model, and compute them anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from unshapley.config import CurvatureSettings
from unshapley.curvature.store import (
    BASIS,
    RENEW,
    CurvatureRecord,
    add_providers,
    check_checkpoint,
    load_basis,
    write_curvature,
)
from unshapley.curvature.text_store import add_text, write_text_statistics
from unshapley.data.tables import Schema
from unshapley.errors import InputError
from unshapley.models.batching import State
from unshapley.models.rows import Rows, read_set
from unshapley.models.store import CHECKPOINT, ModelRecord, load_files, read_recorded_rows
from unshapley.models.tensors import load_state
from unshapley.numerics import deterministic
from unshapley.progress import Progress, silent
from unshapley.project import Project


def write_statistics(
    project: Project,
    settings: CurvatureSettings,
    record: ModelRecord,
    states: tuple[nn.Module, State, State],
    test: Rows,
    partitions: Mapping[str, tuple[Rows, str]],
    progress: Progress = silent,
) -> CurvatureRecord:
    """Write data/curvature of a model that is recorded.

    states: the module, its pretrained and its initial weights; partitions: rows and hash by
    provider; progress: of passes over a provider's rows.
    """
    model, trained, initial = states
    folder, checkpoint = project.curvature, record.files[CHECKPOINT]
    if record.text:
        hashes = checkpoint, record.test
        return write_text_statistics(
            folder, model, trained, settings, hashes, test, partitions, progress
        )
    return write_curvature(
        folder, model, trained, initial, settings, checkpoint, partitions, progress
    )


@deterministic()
def renew(
    project: Project,
    settings: CurvatureSettings,
    providers: Sequence[str],
    progress: Progress = silent,
) -> CurvatureRecord:
    """Recompute the statistics: with a new basis for all providers of the model, or with the stored
    basis for the given `providers`. progress: of passes over a provider's rows.

    Raises `InputError` for rows that are missing or differ from those the model was trained on, an
    unknown provider, and a basis of another model.
    """
    record = ModelRecord.load(project.model)
    model, trained, initial, _ = load_files(project.model, record)
    partitions = {p: _read(project, record, p) for p in providers or record.partitions}
    if not providers:
        test = read_set(project, Schema.load(project.schema), "test")
        states = model, trained, initial
        return write_statistics(project, settings, record, states, test, partitions, progress)
    folder, checkpoint = project.curvature, record.files[CHECKPOINT]
    stored = CurvatureRecord.load(folder)
    check_checkpoint(folder, stored, checkpoint)
    if stored.left_out:
        raise InputError(
            "pretraining left the statistics out, so that there is no basis to add to",
            where=folder / "curvature.json",
            do="run `unshapley curvature` for all providers first",
        )
    with progress(len(partitions)) as advance:
        if record.text:
            assert stored.basis is not None
            vectors = load_state(folder / BASIS, stored.basis, RENEW)
            test = read_set(project, Schema.load(project.schema), "test")
            return add_text(folder, stored, model, trained, vectors, test, partitions, advance)
        basis = load_basis(folder, stored)
        return add_providers(folder, stored, model, trained, basis, partitions, advance)


def _read(project: Project, record: ModelRecord, provider: str) -> tuple[Rows, str]:
    """Rows of a provider and their hash."""
    if provider not in record.partitions:
        raise InputError(
            f"the model was not trained on provider {provider!r}",
            where="--provider",
            expected=f"one of {', '.join(record.partitions)}",
        )
    rows = read_recorded_rows(project, Schema.load(project.schema), record, provider)
    return rows, record.partitions[provider]
