"""The game that is measured: who plays, the pretrained model, and the test set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unshapley.game.coalitions import Coalitions
from unshapley.models.batching import State, batched_outputs
from unshapley.models.pretrained import Pretrained


@dataclass(frozen=True)
class Game:
    """A loaded game.

    players: providers that are valued, in provider order; providers: all in the model, of whom
    those that are no players always stay; test_x: `(rows, features)`; test_y: class codes
    `(rows,)`, or the label standardised by `label_mean` and `label_scale`.
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
        """Whether some providers of the model are no players."""
        return self.players != self.providers

    @property
    def all_rows(self) -> bool:
        """Whether the rows of every provider in the model can be read, as retraining needs."""
        return len(self.pretrained.rows.owner) == int(self.pretrained.counts.sum())

    @property
    def task(self) -> str:
        return "regression" if self.test_y.is_floating_point() else "classification"

    def staying(self, coalitions: Coalitions) -> Tensor:
        """Who stays among all providers in the model `(m, providers)`, of players' `(m, n)`."""
        out = np.ones((len(coalitions), len(self.providers)), dtype=bool)
        out[:, [self.providers.index(p) for p in self.players]] = coalitions
        return torch.from_numpy(out).to(self.test_x.device)

    def outputs(self, batch: State) -> tuple[Tensor, Tensor]:
        """Outputs of a batch of models on the test set `(models, rows, classes)` and the labels
        `(rows,)`; numbers are in units of the label.
        """
        model, trained = self.pretrained.model, self.pretrained.trained
        shared = {n: t for n, t in trained.items() if n not in batch}
        with torch.no_grad():
            found = batched_outputs(model, batch, shared, self.test_x)
        if self.task == "classification":
            return found, self.test_y
        return (
            found.double() * self.label_scale + self.label_mean,
            self.test_y.double() * self.label_scale + self.label_mean,
        )
