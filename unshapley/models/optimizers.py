"""The optimizers and learning rates of a recipe. Optimizers work elementwise, so that models whose
tensors are stacked are trained each as if it were alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from unshapley.config import PretrainSettings
from unshapley.numerics import square_root

MOMENTUM = 0.9
"""Of sgd, where none is stated."""
BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Of adam and adamw, as torch has them."""
MakeOptimizer = Callable[[list[Tensor], float], torch.optim.Optimizer]
"""(tensors to train, learning rate) → optimizer"""
Schedule = Callable[[int], float]
"""(step, from 0) → factor on the learning rate"""


def adam(tensors: list[Tensor], learning_rate: float) -> torch.optim.Optimizer:
    """Adam without a decay of its own: a penalty is part of the loss."""
    return torch.optim.Adam(tensors, lr=learning_rate, fused=True)


def optimizer_of(recipe: PretrainSettings) -> MakeOptimizer:
    """The recipe's optimizer; its weight decay is applied by `adamw` alone, else by the loss."""

    def make(tensors: list[Tensor], learning_rate: float) -> torch.optim.Optimizer:
        if recipe.optimizer == "adamw":
            decay = recipe.weight_decay
            return torch.optim.AdamW(tensors, lr=learning_rate, weight_decay=decay, fused=True)
        return torch.optim.SGD(tensors, lr=learning_rate, momentum=momentum_of(recipe), fused=True)

    return adam if recipe.optimizer == "adam" else make


def skipping(recipe: PretrainSettings, moving: Callable[[], Tensor]) -> MakeOptimizer:
    """The recipe's optimizer for models of which some take no part in a step.

    moving: which models take part `(models,)`, called in each step.
    """
    return lambda tensors, learning_rate: Skipping(tensors, learning_rate, recipe, moving)


class Skipping(torch.optim.Optimizer):
    """Adam, AdamW or SGD of stacked models, each with a count of its own of the steps it took.

    A model that takes no part in a step keeps its weights and moments. Where all do, it is the
    optimizer of torch with the same options.
    """

    def __init__(
        self,
        tensors: list[Tensor],
        learning_rate: float,
        recipe: PretrainSettings,
        moving: Callable[[], Tensor],
    ) -> None:
        super().__init__(tensors, {"lr": learning_rate})
        self._recipe, self._moving = recipe, moving
        self._taken = torch.zeros(len(tensors[0]), dtype=torch.float64, device=tensors[0].device)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        moving = self._moving()
        self._taken += moving
        for group in self.param_groups:
            for tensor in group["params"]:
                if tensor.grad is not None:
                    self._move(tensor, group["lr"], moving)

    def _move(self, tensor: Tensor, rate: float, moving: Tensor) -> None:
        one_each = [-1, *[1] * (tensor.dim() - 1)]
        on = moving.to(tensor.dtype).view(one_each)
        if self._recipe.optimizer == "sgd":
            step = self._momentum(tensor, on)
        else:
            step = self._adam(tensor, on, self._taken.clamp(min=1).view(one_each))
        if self._recipe.optimizer == "adamw":
            tensor.mul_(1 - on * rate * self._recipe.weight_decay)
        tensor.sub_(step.mul_(on * rate))

    def _momentum(self, tensor: Tensor, on: Tensor) -> Tensor:
        """The step of sgd, for a learning rate of 1."""
        assert tensor.grad is not None
        (velocity,) = self._moments(tensor, 1)
        velocity.mul_(1 - on * (1 - momentum_of(self._recipe))).add_(on * tensor.grad)
        return velocity.clone()

    def _adam(self, tensor: Tensor, on: Tensor, taken: Tensor) -> Tensor:
        """The step of Adam, for a learning rate of 1 (Kingma and Ba, ICLR 2015, algorithm 1)."""
        assert tensor.grad is not None
        mean, square = self._moments(tensor, 2)
        mean.lerp_(tensor.grad, on * (1 - BETAS[0]))
        square.lerp_(tensor.grad.square(), on * (1 - BETAS[1]))
        # 1 − βᵗ loses half of its digits in float32
        of_mean, of_square = ((1 - beta**taken).to(tensor.dtype) for beta in BETAS)
        root = square_root(square / of_square).add_(EPSILON)
        return mean.div(of_mean).div_(root)

    def _moments(self, tensor: Tensor, count: int) -> list[Tensor]:
        state = self.state[tensor]
        if not state:
            state["moments"] = [torch.zeros_like(tensor) for _ in range(count)]
        moments: list[Tensor] = state["moments"]
        return moments


def momentum_of(recipe: PretrainSettings) -> float:
    """Of sgd."""
    return MOMENTUM if recipe.momentum is None else recipe.momentum


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
