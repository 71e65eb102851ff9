"""Frozen features: second moments of the inputs of the last layer, for each provider."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unshapley.models.layers import output_layer
from unshapley.models.pretrained import HeadFeatures


def head_moments(model: nn.Module, rows: tuple[Tensor, Tensor]) -> tuple[str, Tensor, Tensor]:
    """Layer name, gram and moment (see `HeadFeatures`) of one provider's rows.

    model: with its pretrained weights.

    Raises `InputError` if the model does not end in a linear layer.
    """
    x, y = rows
    layer, features = output_layer(model, x)
    h = features.double()
    if model.get_submodule(layer).bias is not None:
        h = torch.cat([h, torch.ones(len(h), 1, dtype=h.dtype, device=h.device)], dim=1)
    if y.is_floating_point():
        target = y.double().unsqueeze(1)
    else:
        classes = len(model.get_parameter(f"{layer}.weight"))
        target = nn.functional.one_hot(y, classes).double()
    return layer, h.T @ h, h.T @ target


def collect_features(moments: Sequence[tuple[str, Tensor, Tensor]]) -> HeadFeatures:
    """Stack the moments of all providers."""
    return HeadFeatures(
        moments[0][0],
        torch.stack([gram for _, gram, _ in moments]),
        torch.stack([moment for _, _, moment in moments]),
    )
