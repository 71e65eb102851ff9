"""The optimizers of a recipe. All work elementwise, so that models whose tensors are stacked are
trained each as if it were alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unshapley.config import PretrainSettings

MOMENTUM = 0.9
"""Of sgd, where none is stated."""
MakeOptimizer = Callable[[list[Tensor], float], torch.optim.Optimizer]
"""(tensors to train, learning rate) → optimizer"""


def adam(tensors: list[Tensor], learning_rate: float) -> torch.optim.Optimizer:
    """Adam without a decay of its own: a penalty is part of the loss."""
    return torch.optim.Adam(tensors, lr=learning_rate)


def optimizer_of(recipe: PretrainSettings) -> MakeOptimizer:
    """The recipe's optimizer; its weight decay is applied by `adamw` alone, else by the loss."""

    def make(tensors: list[Tensor], learning_rate: float) -> torch.optim.Optimizer:
        if recipe.optimizer == "adamw":
            return torch.optim.AdamW(tensors, lr=learning_rate, weight_decay=recipe.weight_decay)
        momentum = MOMENTUM if recipe.momentum is None else recipe.momentum
        return torch.optim.SGD(tensors, lr=learning_rate, momentum=momentum)

    return adam if recipe.optimizer == "adam" else make
