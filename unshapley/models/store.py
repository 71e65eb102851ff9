"""The model folder: weights, and the record with their hashes.

data/model/
  model.json                 architecture, recipe, hashes, score, and the partitions trained on
  checkpoint.safetensors     pretrained weights
  initialisation.safetensors weights before training: U(none), and where retraining starts
  rewind.safetensors         weights early in training, for rewind_finetune; none if imported
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from torch import nn

from unshapley.config import PretrainSettings
from unshapley.data.tables import Schema
from unshapley.errors import InputError, OwnCodeError
from unshapley.files import sha256, write_json
from unshapley.models.batching import State
from unshapley.models.building import build, source_of_architecture
from unshapley.models.convergence import Convergence
from unshapley.models.fitting import with_buffers
from unshapley.models.rows import Rows, read_rows
from unshapley.models.tensors import fit_state, load_state, save_state
from unshapley.origin import Origin
from unshapley.project import Project
from unshapley.records import read_record

CHECKPOINT = "checkpoint.safetensors"
INITIALISATION = "initialisation.safetensors"
REWIND = "rewind.safetensors"


class ModelRecord(BaseModel):
    """What model.json holds; hashes are hex SHA-256 of files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: PretrainSettings
    architecture_source: str
    """hash of the file that defines the architecture"""
    in_features: int
    classes: int
    partitions: dict[str, str]
    """hash of every partition the model was trained on, by provider"""
    rows: dict[str, int]
    """training rows by provider"""
    quarantined: dict[str, str]
    """reason, by provider that was left out of training"""
    test: str
    reference: str
    files: dict[str, str]
    """hash of every file beside the record"""
    noise: float
    """variance of the training rows' residuals in units of the label that the model learns; 1 for
    classes"""
    score: dict[str, float]
    """utilities of the pretrained model on the test set"""
    steps: int | None = None
    """after how many steps the model had its weights; none in records of earlier versions"""
    convergence: Convergence | None = None
    """gradient at these weights; none in records of earlier versions, and for a single row"""
    test_sources: dict[str, int] = {}
    """how many test rows each provider gave; empty for a test set of the user's own"""
    text: bool = False
    """whether it reads tokens: `in_features` of context, and `classes` of vocabulary"""
    imported: Origin | None = None
    """where it comes from; none if it was trained here"""

    def save(self, folder: Path) -> None:
        write_json(folder / "model.json", self.model_dump(mode="json"))

    @staticmethod
    def load(folder: Path) -> ModelRecord:
        do = "run `unshapley pretrain`, or restore it with `dvc checkout`"
        return read_record(ModelRecord, folder / "model.json", writer="unshapley pretrain", do=do)

    def build(self, seed: int | None = None) -> nn.Module:
        """The architecture with the initial weights that a seed gives, by default the recorded."""
        return build(
            self.recipe.architecture,
            in_features=self.in_features,
            classes=self.classes,
            kwargs=self.recipe.kwargs,
            seed=self.recipe.seed if seed is None else seed,
            as_it_is=self.imported is not None,
            text=self.text,
        )

    @property
    def again(self) -> str:
        """What to do where it no longer fits, in words."""
        return "pretrain again" if self.imported is None else "import the model again"

    @property
    def recipe_known(self) -> bool:
        """Whether the recipe is how the model was trained."""
        return self.imported is None or self.imported.recipe_known

    def is_of(self, recipe: PretrainSettings) -> bool:
        """Whether section pretrain states the recipe of this model, where one is known. The
        architecture of an imported model is the record's own.
        """
        if self.imported is None:
            return self.recipe == recipe
        own = {"architecture": self.recipe.architecture, "kwargs": self.recipe.kwargs}
        return not self.recipe_known or self.recipe == recipe.model_copy(update=own)

    def initialise(self, trained: State) -> Callable[[int], State] | None:
        """What gives the weights before training of another seed, where the recipe does not."""
        if self.imported is None:
            return None
        return lambda seed: with_buffers(self.build(seed), trained)

    def seen_by_model(self, schema: Schema) -> Schema:
        """The schema by whose scale of a numeric label the model answers: one trained elsewhere
        knows of no scale.
        """
        if self.imported is None:
            return schema
        return replace(schema, label_mean=0.0, label_scale=1.0)


def read_recorded_rows(
    project: Project, schema: Schema, record: ModelRecord, provider: str
) -> Rows:
    """Training rows of a provider as the model sees them, checked to be those that it was trained
    on.

    Raises `InputError` if the partition is missing or differs from the recorded one.
    """
    path = project.partition(provider)
    rows = read_rows(project, record.seen_by_model(schema), provider)
    if sha256(path) != record.partitions[provider]:
        raise InputError(
            f"partition of provider {provider!r} is not the one the model was trained on",
            where=path,
            expected=f"SHA-256 {record.partitions[provider][:12]}…",
            do=f"restore it with `dvc checkout`, or {record.again}",
        )
    return rows


def save_files(
    folder: Path, trained: State, initial: State, rewind: State | None
) -> dict[str, str]:
    """Write the tensors of a model; returns the hash of every file."""
    states = {CHECKPOINT: trained, INITIALISATION: initial}
    if rewind is None:
        (folder / REWIND).unlink(missing_ok=True)
    else:
        states[REWIND] = rewind
    for name, state in states.items():
        save_state(state, folder / name)
    return {name: sha256(folder / name) for name in states}


def load_files(folder: Path, record: ModelRecord) -> tuple[nn.Module, State, State, State | None]:
    """Module, pretrained, initial and rewind state, each checked against the record; no rewind
    state of an imported model.
    """
    model, recipe = record.build(), record.recipe
    if source_of_architecture(recipe.architecture, recipe.kwargs) != record.architecture_source:
        raise OwnCodeError(
            "the file that defines the architecture, or one that it reads, changed since the model "
            "was trained",
            where=record.recipe.architecture,
            do=f"{record.again}, or restore the file",
        )
    trained, initial = (
        fit_state(model, _recorded(folder, name, record), folder / name)
        for name in (CHECKPOINT, INITIALISATION)
    )
    rewind = None
    if record.imported is None:
        rewind = fit_state(model, _recorded(folder, REWIND, record), folder / REWIND)
    model.load_state_dict(trained)
    return model, trained, initial, rewind


def _recorded(folder: Path, name: str, record: ModelRecord) -> State:
    if name not in record.files:
        raise InputError(f"does not record {name}", where=folder / "model.json", do=record.again)
    return load_state(folder / name, record.files[name])
