"""The last linear layer of a model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unshapley.errors import InputError
from unshapley.models.batching import forward_hooks, name_of


def output_layer(model: nn.Module, x: Tensor) -> tuple[str, Tensor]:
    """Name of the linear layer whose output is the model's, and its inputs `(rows, width)`.

    Raises `InputError` if the model does not end in a linear layer.
    """
    layers: dict[str, tuple[Tensor, Tensor]] = {}

    def remember(name: str) -> Any:
        return lambda _module, args, out: layers.__setitem__(name, (args[0].detach(), out.detach()))

    linear = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    with torch.no_grad(), forward_hooks(linear, remember):
        logits = model(x)
    for name, (features, out) in reversed(layers.items()):
        if out.shape == logits.shape and torch.equal(out, logits):
            return name, features
    raise InputError(
        f"{name_of(model)} does not end in a torch.nn.Linear",
        where="pretrain.architecture",
        expected="logits straight from a linear layer",
        do="use an unlearner that needs no last layer, such as finetune",
    )


def last_layer(model: nn.Module, x: Tensor) -> str | None:
    """Name of the last linear layer, or None if the model does not end in one."""
    try:
        return output_layer(model, x[:2])[0]
    except InputError:
        return None
