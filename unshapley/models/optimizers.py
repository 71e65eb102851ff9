"""The optimizers and learning rates of a recipe. Optimizers work elementwise, so that models whose
tensors are stacked are trained each as if it were alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from unshapley.config import PretrainSettings

MOMENTUM = 0.9
"""Of sgd, where none is stated."""
MakeOptimizer = Callable[[list[Tensor], float], torch.optim.Optimizer]
"""(tensors to train, learning rate) → optimizer"""
Schedule = Callable[[int], float]
"""(step, from 0) → factor on the learning rate"""


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


def schedule_of(recipe: PretrainSettings) -> Schedule | None:
    """Factors on the learning rate of each step; none where it is constant.

    It rises linearly over `round(warmup · steps)` steps; then it is 1, or, for `cosine`, falls to
    ½ (1 + cos π t) after the share t of the other steps (Loshchilov and Hutter, "SGDR: Stochastic
    Gradient Descent with Warm Restarts", ICLR 2017, section 3, without restarts).
    """
    rising = round(recipe.warmup * recipe.steps)
    if recipe.schedule == "constant" and not rising:
        return None

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        if recipe.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, recipe.steps - rising)))

    return factor
