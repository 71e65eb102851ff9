"""A model of the user's own, as an import is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unshapley.config import PretrainSettings
from unshapley.files import sha256
from unshapley.models.checkpoints import kind_of
from unshapley.models.converted import Converted
from unshapley.models.tensors import hash_of_state
from unshapley.origin import Kind

CONSTANT = "constant"


@dataclass(frozen=True)
class Source:
    """A model of the user's own.

    model: file of its weights, or an estimator of scikit-learn; architecture, kwargs: what makes
    its module; initial: file of the
    weights before training, or "constant", or None for those that `seed` gives; recipe_known:
    whether section pretrain is how it was trained; accept_score: whether it may be no better than
    the best constant.
    """

    model: Path | Converted
    architecture: str
    kwargs: Mapping[str, Any]
    initial: Path | str | None = None
    seed: int = 0
    recipe_known: bool = False
    accept_score: bool = False

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def kind(self) -> Kind:
        return kind_of(self.model) if isinstance(self.model, Path) else "scikit-learn"

    @property
    def sha256(self) -> str:
        """Of the file, or of the weights."""
        if isinstance(self.model, Path):
            return sha256(self.model)
        return hash_of_state(self.model.state())

    def recipe(self, stated: PretrainSettings, rows: int) -> PretrainSettings:
        """What is recorded of its training on so many rows: section pretrain if that is how it was,
        else the penalty on the weights, of which none is known but of an estimator.
        """
        own = {"architecture": self.architecture, "kwargs": dict(self.kwargs), "seed": self.seed}
        if self.recipe_known:
            return stated.model_copy(update=own)
        decay = 0.0 if isinstance(self.model, Path) else self.model.decay(rows)
        return PretrainSettings(**own, weight_decay=decay)
