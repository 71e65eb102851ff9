"""Architectures: callables that `pretrain.architecture` can name."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn

from unshapley.models.adapting import StandardisedInputs
from unshapley.models.chains import Chain, Layer


class MLP(StandardisedInputs):
    """Standardised features through tanh layers to logits: `(rows, in_features) → (rows, classes)`.

    tanh keeps the loss smooth, so that curvature says something about it.
    """

    def __init__(self, in_features: int, hidden: Iterable[int], classes: int) -> None:
        super().__init__(in_features)
        widths = [in_features, *hidden]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.standardised(x)
        for layer in self.hidden:
            x = torch.tanh(layer(x))
        return self.head(x)  # type: ignore[no-any-return]

    def chain(self) -> Chain | None:
        """Its layers; None for a class derived from it, whose `forward` may be another."""
        if type(self) is not MLP:
            return None
        hidden = [f"hidden.{i}" for i in range(len(self.hidden))]
        layers = [Layer(f"{name}.weight", f"{name}.bias", "tanh") for name in hidden]
        return Chain((*layers, Layer("head.weight", "head.bias")), ("mean", "scale"))


def mlp(in_features: int, classes: int, hidden: Iterable[int] = (32,)) -> nn.Module:
    """The default architecture, `unshapley.models:mlp`."""
    return MLP(in_features, tuple(hidden), classes)


class CNN(nn.Module):
    """Two convolutions and one hidden layer over single-channel square pictures.

    `(rows, side²) → (rows, classes)`; pixels are divided by `scale` first.
    """

    standardise = None  # a pixel's mean and scale say nothing of its neighbours'

    def __init__(
        self, in_features: int, classes: int, channels: tuple[int, int], hidden: int, scale: float
    ) -> None:
        super().__init__()
        self.side = math.isqrt(in_features)
        if self.side**2 != in_features:
            raise ValueError(f"{in_features} features are no square picture")
        self.scale = scale
        self.first = nn.Conv2d(1, channels[0], 3, padding=1)
        self.second = nn.Conv2d(channels[0], channels[1], 3, padding=1, stride=2)
        self.hidden = nn.Linear(channels[1] * ((self.side + 1) // 2) ** 2, hidden)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = (x / self.scale).view(*x.shape[:-1], 1, self.side, self.side)
        x = torch.tanh(self.second(torch.tanh(self.first(x))))
        return self.head(torch.tanh(self.hidden(x.flatten(-3))))  # type: ignore[no-any-return]


def cnn(
    in_features: int,
    classes: int,
    channels: tuple[int, int] = (4, 8),
    hidden: int = 16,
    scale: float = 16.0,
) -> nn.Module:
    """A small convolutional network, `unshapley.models:cnn`."""
    return CNN(in_features, classes, channels, hidden, scale)
