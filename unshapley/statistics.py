"""Curvature statistics: what a retain-free unlearner needs to know of rows it cannot read.

For every provider the gradient and Hessian of the summed cross-entropy with respect to the last
layer, at the pretrained weights. They add up over providers and belong to one set of weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unshapley.models import State, output_layer


@dataclass(frozen=True)
class HeadStatistics:
    """Per provider, in provider order; `width` = inputs of the layer, plus one for a bias.

    layer: name of the last layer; gradient: `(n, classes · width)`;
    hessian: `(n, classes · width, classes · width)`; rows: `(n,)`; all float64.
    """

    layer: str
    gradient: Tensor
    hessian: Tensor
    rows: Tensor

    def to_state(self) -> State:
        return {"gradient": self.gradient, "hessian": self.hessian, "rows": self.rows}

    @staticmethod
    def from_state(layer: str, state: State) -> HeadStatistics:
        return HeadStatistics(layer, state["gradient"], state["hessian"], state["rows"])


def head_statistics(
    model: nn.Module, partitions: Mapping[str, tuple[Tensor, Tensor]]
) -> HeadStatistics:
    """One pass over the rows `{provider: (x, y)}` of a model with its pretrained weights."""
    layers, gradients, hessians, rows = [], [], [], []
    for x, y in partitions.values():
        layer, features = output_layer(model, x)
        gradient, hessian = _one(model.get_submodule(layer), features, y)
        layers.append(layer)
        gradients.append(gradient)
        hessians.append(hessian)
        rows.append(len(y))
    return HeadStatistics(
        layers[0],
        torch.stack(gradients),
        torch.stack(hessians),
        torch.tensor(rows, dtype=torch.float64),
    )


def _one(head: nn.Module, features: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient Σ (p − e_y) ⊗ h and Hessian Σ (diag p − p pᵀ) ⊗ h hᵀ of softmax cross-entropy."""
    with torch.no_grad():
        p = torch.softmax(head(features).double(), dim=-1)
    h = features.double()
    if head.bias is not None:
        h = torch.cat([h, torch.ones(len(h), 1, dtype=h.dtype)], dim=1)
    error = p - nn.functional.one_hot(y, p.shape[1])
    curvature = torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)
    outer = h.unsqueeze(2) * h.unsqueeze(1)
    classes, width = p.shape[1], h.shape[1]
    hessian = curvature.flatten(1).T @ outer.flatten(1)
    hessian = hessian.view(classes, classes, width, width).permute(0, 2, 1, 3)
    size = classes * width
    return (error.T @ h).reshape(size), hessian.reshape(size, size)


def head_vector(state: State, layer: str) -> Tensor:
    """Weights of the last layer as `(classes · width,)` float64, in the order of the statistics."""
    weight = state[f"{layer}.weight"].double()
    bias = state.get(f"{layer}.bias")
    columns = [weight] if bias is None else [weight, bias.double().unsqueeze(1)]
    return torch.cat(columns, dim=1).flatten()


def head_state(vectors: Tensor, like: State, layer: str) -> State:
    """The inverse of `head_vector` for a batch `(models, classes · width)`, in its dtype."""
    weight = like[f"{layer}.weight"]
    table = vectors.view(len(vectors), weight.shape[0], -1).to(weight.dtype)
    state = {f"{layer}.weight": table[:, :, : weight.shape[1]].contiguous()}
    if f"{layer}.bias" in like:
        state[f"{layer}.bias"] = table[:, :, -1].contiguous()
    return state
