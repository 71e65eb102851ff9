"""The optimizers and learning rates of a recipe. Optimizers work elementwise, so that models whose
tensors are stacked are trained each as if it were alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim.adam import adam as functional_adam
from torch.optim.sgd import sgd as functional_sgd

from unshapley.config import PretrainSettings
from unshapley.numerics import square_root

MOMENTUM = 0.9
"""Of sgd, where none is stated."""
BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Of adam and adamw, as torch has them."""


class Optimizer:
    """Moves tensors against their gradients, which are there from the beginning.

    rate: the learning rate, which may be set before each step.
    """

    def __init__(self, tensors: list[Tensor], rate: float) -> None:
        self.tensors, self.rate = tensors, rate
        for tensor in tensors:
            if tensor.grad is None:
                tensor.grad = torch.zeros_like(tensor)

    @property
    def gradients(self) -> list[Tensor]:
        return [tensor.grad for tensor in self.tensors if tensor.grad is not None]

    def zero_grad(self) -> None:
        """Set the gradients to zero, in place."""
        for gradient in self.gradients:
            gradient.zero_()

    def step(self) -> None:
        raise NotImplementedError


MakeOptimizer = Callable[[list[Tensor], float], Optimizer]
"""(tensors to train, learning rate) → optimizer"""
Schedule = Callable[[int], float]
"""(step, from 0) → factor on the learning rate"""


class Adam(Optimizer):
    """Adam, or AdamW where there is a decay, by the functions that torch's classes call: to make
    one of those imports a compiler, which takes a second of every process.
    """

    def __init__(self, tensors: list[Tensor], rate: float, decay: float | None = None) -> None:
        super().__init__(tensors, rate)
        self._decay = decay
        self._mean, self._square = ([torch.zeros_like(t) for t in tensors] for _ in BETAS)
        self._steps = [torch.zeros((), dtype=torch.float32, device=t.device) for t in tensors]

    @torch.no_grad()
    def step(self) -> None:
        functional_adam(
            self.tensors,
            self.gradients,
            self._mean,
            self._square,
            [],
            self._steps,
            fused=True,
            decoupled_weight_decay=self._decay is not None,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=self.rate,
            weight_decay=self._decay or 0.0,
            eps=EPSILON,
            maximize=False,
        )


class Sgd(Optimizer):
    """Gradient descent with momentum, by the function that torch's class calls."""

    def __init__(self, tensors: list[Tensor], rate: float, momentum: float) -> None:
        super().__init__(tensors, rate)
        self._momentum = momentum
        self._velocity: list[Tensor | None] = [None] * len(tensors)

    @torch.no_grad()
    def step(self) -> None:
        functional_sgd(
            self.tensors,
            self.gradients,
            self._velocity,
            fused=True,
            weight_decay=0.0,
            momentum=self._momentum,
            lr=self.rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )


def adam(tensors: list[Tensor], learning_rate: float) -> Optimizer:
    """Adam without a decay of its own: a penalty is part of the loss."""
    return Adam(tensors, learning_rate)


def optimizer_of(recipe: PretrainSettings) -> MakeOptimizer:
    """The recipe's optimizer; its weight decay is applied by `adamw` alone, else by the loss."""

    def make(tensors: list[Tensor], learning_rate: float) -> Optimizer:
        if recipe.optimizer == "adamw":
            return Adam(tensors, learning_rate, recipe.weight_decay)
        return Sgd(tensors, learning_rate, momentum_of(recipe))

    return adam if recipe.optimizer == "adam" else make


def skipping(recipe: PretrainSettings, moving: Callable[[], Tensor]) -> MakeOptimizer:
    """The recipe's optimizer for models of which some take no part in a step.

    moving: which models take part `(models,)`, called in each step.
    """
    return lambda tensors, learning_rate: Skipping(tensors, learning_rate, recipe, moving)


class Skipping(Optimizer):
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
        super().__init__(tensors, learning_rate)
        self._recipe, self._moving = recipe, moving
        self._taken = torch.zeros(len(tensors[0]), dtype=torch.float64, device=tensors[0].device)
        self._state: dict[Tensor, list[Tensor]] = {}

    @torch.no_grad()
    def step(self) -> None:
        moving = self._moving()
        self._taken += moving
        for tensor in self.tensors:
            self._move(tensor, self.rate, moving)

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
        if tensor not in self._state:
            self._state[tensor] = [torch.zeros_like(tensor) for _ in range(count)]
        return self._state[tensor]


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
