"""The curvature folder: statistics of every provider's rows, tied to model and partition by hash.

data/curvature/
  curvature.json                  checkpoint, weights covered, and hash and rows of every provider
  basis.safetensors               directions of the statistics, which belong to the model
  providers/<name>.safetensors    statistics of one provider, which may compute them itself
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from unshapley.config import CurvatureSettings
from unshapley.curvature.features import collect_features, head_moments
from unshapley.curvature.statistics import PASSES, covered, make_basis, provider_statistics
from unshapley.errors import InputError
from unshapley.files import sha256, write_json
from unshapley.models.batching import State
from unshapley.models.pretrained import CurvatureStatistics, HeadFeatures
from unshapley.models.rows import Rows
from unshapley.models.tensors import load_state, save_state
from unshapley.numerics import deterministic
from unshapley.progress import Advance, Progress, silent
from unshapley.project import Project
from unshapley.records import read_record

BASIS = "basis.safetensors"
RENEW = "run `unshapley curvature`, or restore it with `dvc checkout`"


class ProviderStatistics(BaseModel):
    """One provider's statistics; hashes are hex SHA-256."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: str
    """hash of the rows that they were computed from"""
    file: str
    rows: int


class CurvatureRecord(BaseModel):
    """What curvature.json holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint: str
    """hash of the weights that the statistics belong to"""
    settings: CurvatureSettings
    parameters: list[str]
    basis: str | None
    """hash of the basis; None if all directions are kept"""
    layer: str | None
    """last linear layer, for the moments of its features; None if the model has none"""
    providers: dict[str, ProviderStatistics]
    test: str | None = None
    """of text: hash of the test set whose n-grams were counted"""

    @property
    def left_out(self) -> bool:
        """Whether nothing was computed, as no coalition would have read it."""
        return not self.providers

    @staticmethod
    def load(folder: Path) -> CurvatureRecord:
        do = "run `unshapley curvature`, or `dvc checkout`"
        path = folder / "curvature.json"
        return read_record(CurvatureRecord, path, writer="unshapley curvature", do=do)

    def save(self, folder: Path) -> None:
        write_json(folder / "curvature.json", self.model_dump(mode="json"))


@deterministic()
def write_curvature(
    folder: Path,
    model: nn.Module,
    trained: State,
    initial: State,
    settings: CurvatureSettings,
    checkpoint: str,
    partitions: Mapping[str, tuple[Rows, str]],
    progress: Progress = silent,
) -> CurvatureRecord:
    """Write a new basis and the statistics of all `partitions` `{provider: (rows, hash)}`.

    checkpoint: hash of the pretrained weights; progress: of passes over a provider's rows. Raises
    `InputError` if only the last layer is to be covered and the model has no such layer.
    """
    rows = {provider: own for provider, (own, _) in partitions.items()}
    names, layer = covered(model, settings, next(iter(rows.values()))[0])
    with progress(PASSES * len(rows)) as advance:
        basis = make_basis(
            model, trained, initial, names, settings.directions, rows, advance=advance
        )
        if basis is not None:
            save_state({"basis": basis}, folder / BASIS)
        record = _record_of(folder, settings, checkpoint, names, basis, layer)
        record = add_providers(folder, record, model, trained, basis, partitions, advance)
    recorded = files(folder, record)
    for path in folder.glob("**/*.safetensors"):
        if path not in recorded:
            path.unlink()
    return record


def leave_out(folder: Path, settings: CurvatureSettings, checkpoint: str) -> CurvatureRecord:
    """Record that the statistics of a model are not computed, and remove those of another."""
    record = _record_of(folder, settings, checkpoint, [], None, None)
    record.save(folder)
    for path in folder.glob("**/*.safetensors"):
        path.unlink()
    return record


def _record_of(
    folder: Path,
    settings: CurvatureSettings,
    checkpoint: str,
    parameters: list[str],
    basis: Tensor | None,
    layer: str | None,
) -> CurvatureRecord:
    """The record of a basis, as yet without providers."""
    return CurvatureRecord(
        checkpoint=checkpoint,
        settings=settings,
        parameters=parameters,
        basis=None if basis is None else sha256(folder / BASIS),
        layer=layer,
        providers={},
    )


@deterministic()
def add_providers(
    folder: Path,
    record: CurvatureRecord,
    model: nn.Module,
    trained: State,
    basis: Tensor | None,
    partitions: Mapping[str, tuple[Rows, str]],
    advance: Advance = lambda _count: None,
) -> CurvatureRecord:
    """Write statistics of further providers in the coordinates of the recorded basis."""

    def statistics(rows: Rows) -> State:
        gradient, hessian = provider_statistics(model, trained, record.parameters, basis, rows)
        state = {"gradient": gradient, "hessian": hessian}
        if record.layer is not None:
            _, state["gram"], state["moment"] = head_moments(model, rows)
        return state

    return write_providers(folder, record, statistics, partitions, advance)


def write_providers(
    folder: Path,
    record: CurvatureRecord,
    statistics: Callable[[Rows], State],
    partitions: Mapping[str, tuple[Rows, str]],
    advance: Advance,
) -> CurvatureRecord:
    """Write what `statistics` makes of the rows of each provider, then the record with them."""
    entries = dict(record.providers)
    for provider, (rows, partition) in partitions.items():
        path = provider_file(folder, provider)
        save_state(statistics(rows), path)
        entries[provider] = ProviderStatistics(
            partition=partition, file=sha256(path), rows=len(rows[1])
        )
        advance(1)
    record = record.model_copy(update={"providers": dict(sorted(entries.items()))})
    record.save(folder)
    return record


def check_settings(project: Project, settings: CurvatureSettings) -> None:
    """Raise `InputError` if the stored statistics were computed with other settings."""
    stored = CurvatureRecord.load(project.curvature).settings
    if stored != settings:
        raise InputError(
            f"the statistics were made with {stored}",
            where=project.curvature / "curvature.json",
            expected=f"{settings}, as params.yaml says under curvature",
            do="run `unshapley curvature` (or `dvc repro`), or restore params.yaml",
        )


def load_basis(folder: Path, record: CurvatureRecord) -> Tensor | None:
    """The recorded basis, checked against its hash."""
    if record.basis is None:
        return None
    return load_state(folder / BASIS, record.basis, RENEW)["basis"]


def load_curvature(
    folder: Path, checkpoint: str, partitions: Mapping[str, str]
) -> tuple[CurvatureStatistics, HeadFeatures | None]:
    """Statistics of the providers of `partitions` `{provider: hash}`, in this order.

    Raises `InputError` if they belong to another model or to other rows, are missing, or differ
    from the recorded files.
    """
    record = CurvatureRecord.load(folder)
    check_checkpoint(folder, record, checkpoint)
    states = [load_provider(folder, record, name, value) for name, value in partitions.items()]
    curvature = CurvatureStatistics(
        parameters=tuple(record.parameters),
        basis=load_basis(folder, record),
        gradient=torch.stack([state["gradient"] for state in states]),
        hessian=torch.stack([state["hessian"] for state in states]),
        rows=torch.tensor([record.providers[p].rows for p in partitions], dtype=torch.float64),
    )
    if record.layer is None:
        return curvature, None
    layer = record.layer
    return curvature, collect_features(
        [(layer, state["gram"], state["moment"]) for state in states]
    )


def check_checkpoint(folder: Path, record: CurvatureRecord, checkpoint: str) -> None:
    """Raise `InputError` if the statistics belong to other weights."""
    if record.checkpoint != checkpoint:
        raise InputError(
            "the curvature statistics belong to another model: "
            f"checkpoint SHA-256 {record.checkpoint[:12]}…",
            where=folder / "curvature.json",
            expected=f"SHA-256 {checkpoint[:12]}…, the checkpoint in data/model",
            do="run `unshapley curvature`, or restore both with `dvc checkout`",
        )


def files(folder: Path, record: CurvatureRecord) -> dict[Path, str]:
    """Every file of the statistics with its recorded hash."""
    hashes = {provider_file(folder, name): entry.file for name, entry in record.providers.items()}
    return hashes if record.basis is None else {folder / BASIS: record.basis, **hashes}


def load_provider(folder: Path, record: CurvatureRecord, provider: str, partition: str) -> State:
    """A provider's tensors; `InputError` if they are missing, of other rows, or altered."""
    entry = record.providers.get(provider)
    if entry is None:
        raise InputError(
            f"there are no curvature statistics of provider {provider!r}",
            where=folder / "curvature.json",
            do=f"run `unshapley curvature --provider {provider}` where its rows are",
        )
    if entry.partition != partition:
        raise InputError(
            f"the curvature statistics of provider {provider!r} belong to other rows: "
            f"partition SHA-256 {entry.partition[:12]}…",
            where=folder / "curvature.json",
            expected=f"SHA-256 {partition[:12]}…, the rows the model was trained on",
            do="run `unshapley curvature`, or restore it with `dvc checkout`",
        )
    return load_state(provider_file(folder, provider), entry.file, RENEW)


def provider_file(folder: Path, provider: str) -> Path:
    """Where the statistics of a provider stand."""
    return folder / "providers" / f"{provider}.safetensors"
