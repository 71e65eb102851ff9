"""The game: its players, the pretrained model, and the test set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unshapley.data.tables import TEXT
from unshapley.game.coalitions import Coalitions
from unshapley.models.batching import State, batched_outputs
from unshapley.models.losses import is_text
from unshapley.models.pretrained import Pretrained
from unshapley.models.tokens import token_scores


@dataclass(frozen=True)
class Game:
    """A loaded game.

    players: providers that are valued, in provider order; providers: all providers of the model;
    those that are not players always stay; test_x: `(rows, features)`; test_y: class codes
    `(rows,)`, or the label standardised by `label_mean` and `label_scale`; of text both are tokens
    `(rows, context)`.
    """

    players: tuple[str, ...]
    providers: tuple[str, ...]
    pretrained: Pretrained
    test_x: Tensor
    test_y: Tensor
    label_mean: float = 0.0
    label_scale: float = 1.0
    classes: tuple[str, ...] = ()

    @property
    def partial(self) -> bool:
        """Whether some providers of the model are not players."""
        return self.players != self.providers

    @property
    def all_rows(self) -> bool:
        """Whether the rows of all providers in the model are loaded; retraining needs them."""
        return len(self.pretrained.rows.owner) == int(self.pretrained.counts.sum())

    @property
    def retrainable(self) -> bool:
        """Whether coalitions can really be retrained: all rows and the recipe are there."""
        return self.all_rows and self.pretrained.recipe_known

    @property
    def task(self) -> str:
        if is_text(self.test_y):
            return TEXT
        return "regression" if self.test_y.is_floating_point() else "classification"

    def staying(self, coalitions: Coalitions) -> Tensor:
        """Providers of the model that stay `(m, providers)`, for coalitions of players `(m, n)`."""
        stays = np.ones((len(coalitions), len(self.providers)), dtype=bool)
        stays[:, [self.providers.index(p) for p in self.players]] = coalitions
        return torch.from_numpy(stays).to(self.test_x.device)

    @property
    def labels(self) -> Tensor:
        """Labels of the test set as `outputs` gives them `(rows,)`."""
        if self.task != "regression":
            return self.test_y
        return self.test_y.double() * self.label_scale + self.label_mean

    def outputs(self, batch: State) -> tuple[Tensor, Tensor]:
        """Outputs of a batch of models on the test set `(models, rows, classes)`, and the labels
        `(rows,)`. In regression, both are in units of the label. Of text what `token_scores` gives,
        and the tokens.
        """
        model, trained = self.pretrained.model, self.pretrained.trained
        shared = {name: tensor for name, tensor in trained.items() if name not in batch}
        if self.task == TEXT:
            return token_scores(model, batch, shared, self.test_x, self.test_y), self.labels
        with torch.no_grad():
            model_outputs = batched_outputs(model, batch, shared, self.test_x)
        if self.task == "classification":
            return model_outputs, self.labels
        return model_outputs.double() * self.label_scale + self.label_mean, self.labels
