"""Chains of linear layers: networks whose batched outputs and gradients are written out.

`torch.func` runs any model as a batch, at two to four times the cost of the matrix products that a
chain of linear layers consists of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.Tanh: "tanh",
    nn.ReLU: "relu",
    nn.Sigmoid: "sigmoid",
    nn.Identity: "",
}
"""Layers without weights that may stand between linear ones. Their derivatives are functions of
their outputs."""


class Layer(NamedTuple):
    """Names of the weight `(out, in)` and bias `(out,)` of a linear layer, and what follows it."""

    weight: str
    bias: str | None
    activation: str = ""


@dataclass(frozen=True)
class Chain:
    """Linear layers in their order; inputs: names of the mean and scale that standardise them."""

    layers: tuple[Layer, ...]
    inputs: tuple[str, str] | None = None

    def inside(self, module: str) -> Self:
        """The chain of a model that holds it as `module`."""

        def named(name: str | None) -> str | None:
            return None if name is None else f"{module}.{name}"

        layers = tuple(Layer(f"{module}.{w}", named(b), a) for w, b, a in self.layers)
        inputs = self.inputs and (f"{module}.{self.inputs[0]}", f"{module}.{self.inputs[1]}")
        return replace(self, layers=layers, inputs=inputs or None)


def chain_of(model: nn.Module) -> Chain | None:
    """The chain that a model computes, or None: its method `chain` says, or it is a
    `torch.nn.Sequential` of linear layers and activations.
    """
    if any(_is_hooked(module) for module in model.modules()):
        return None  # a hook would be passed by
    own: Callable[[], Chain | None] | None = getattr(model, "chain", None)
    if callable(own):
        return own()
    return _chain_of_modules(model.named_children()) if type(model) is nn.Sequential else None


def _is_hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


def _chain_of_modules(modules: Iterable[tuple[str, nn.Module]]) -> Chain | None:
    layers: list[Layer] = []
    for name, module in modules:
        if type(module) is nn.Linear:
            bias = None if module.bias is None else f"{name}.bias"
            layers.append(Layer(f"{name}.weight", bias))
        elif type(module) in ACTIVATIONS and layers and not layers[-1].activation:
            layers[-1] = layers[-1]._replace(activation=ACTIVATIONS[type(module)])
        else:
            return None
    return Chain(tuple(layers)) if layers and not layers[-1].activation else None


def chain_outputs(
    chain: Chain,
    batch: dict[str, Tensor],
    shared: dict[str, Tensor],
    x: Tensor,
) -> Tensor:
    """Outputs `(models, rows, classes)` of models that differ in `batch` `(models, …)`, as
    `batching.batched_outputs` gives them. x: `(rows, features)` or `(models, rows, features)`.
    """
    count = len(next(iter(batch.values())))
    rows_last = standardise(chain, batch, shared, x).transpose(-1, -2)
    for layer in chain.layers:
        out = _layer_outputs(layer, batch, shared, rows_last)
        rows_last = (activate if out.requires_grad else activate_)(layer.activation, out)
    outputs = rows_last if rows_last.dim() == 3 else rows_last.expand(count, -1, -1)
    return outputs.transpose(1, 2)


def standardise(
    chain: Chain, batch: dict[str, Tensor], shared: dict[str, Tensor], x: Tensor
) -> Tensor:
    """The inputs of the first layer, of rows `(…, rows, features)`."""
    if chain.inputs is None:
        return x
    mean, scale = (
        batch[name].unsqueeze(1) if name in batch else shared[name] for name in chain.inputs
    )
    return (x - mean) / scale


def activate(name: str, x: Tensor) -> Tensor:
    """An activation by its name in `ACTIVATIONS`."""
    if name == "tanh":  # torch.tanh takes 3.5 times as long, for the last bit
        return torch.sigmoid(2 * x) * 2 - 1
    return x if not name else getattr(torch, name)(x)


def activate_(name: str, x: Tensor) -> Tensor:
    """The same in place, where no gradient is to pass."""
    if name == "tanh":
        return x.mul_(2).sigmoid_().mul_(2).sub_(1)
    return x if not name else getattr(torch, f"{name}_")(x)


def linear(theta: dict[str, Tensor], layer: Layer, x: Tensor) -> Tensor:
    """A layer of stacked models `(models, out, rows)`, of inputs `(models, in, rows)`."""
    if layer.bias is None:
        return torch.bmm(theta[layer.weight], x)
    return torch.baddbmm(theta[layer.bias].unsqueeze(2), theta[layer.weight], x)


def _layer_outputs(
    layer: Layer, batch: dict[str, Tensor], shared: dict[str, Tensor], x: Tensor
) -> Tensor:
    """A layer of inputs `([models,] in, rows)`: `(models, out, rows)`, or `(out, rows)` where
    neither inputs nor weights differ between models.
    """
    names = [name for name in (layer.weight, layer.bias) if name is not None]
    if x.dim() == 2 and not any(name in batch for name in names):
        out = shared[layer.weight] @ x
        return out if layer.bias is None else out + shared[layer.bias].unsqueeze(1)
    count = len(next(iter(batch.values())))
    theta = {
        name: batch[name] if name in batch else shared[name].expand(count, *shared[name].shape)
        for name in names
    }
    if x.dim() == 3:
        return linear(theta, layer, x)
    weight = theta[layer.weight]  # one product for all models
    out = (weight.reshape(-1, weight.shape[2]) @ x).view(count, weight.shape[1], -1)
    return out if layer.bias is None else out + theta[layer.bias].unsqueeze(2)
