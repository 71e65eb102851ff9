"""The gradient of the training loss of stacked chains of linear layers, written out.

The same numbers as automatic differentiation gives, but for rounding.
"""

from __future__ import annotations

from itertools import count
from typing import NamedTuple

import torch
from torch import Tensor

from unshapley.models.batches import Batch, Batches
from unshapley.models.batching import State
from unshapley.models.chains import Chain, activate_, linear, standardise


class _Rows(NamedTuple):
    """The rows of a step.

    x: inputs of the first layer `(models, rows, features)`; share: of each row in the loss
    `(models, 1, rows)`; target: what outputs are compared with, times the share
    `(models, classes, rows)`; numeric: whether labels are numbers.
    """

    x: Tensor
    share: Tensor
    target: Tensor
    numeric: bool


class ChainGradients:
    """An objective of `training.descend`: the mean loss of each step's rows.

    All weights and biases of the chain are trained.
    """

    def __init__(self, chain: Chain, batches: Batches) -> None:
        self._chain, self._batches = chain, batches
        self._steps_begun = count()
        self._last: tuple[Tensor, _Rows] | None = None

    @torch.no_grad()
    def __call__(self, theta: State, shared: State) -> None:
        batch = self._batches(next(self._steps_begun))
        if self._last is None or self._last[0] is not batch[0]:  # not the same full batch
            self._last = batch[0], _rows(self._chain, theta, shared, batch)
        _differentiate(self._chain, theta, self._last[1])


def _rows(chain: Chain, theta: State, shared: State, batch: Batch) -> _Rows:
    x, y, share = batch
    share = share.unsqueeze(1)
    target = _target(y, share, theta[chain.layers[-1].weight].shape[1])
    return _Rows(standardise(chain, {}, shared, x), share, target, y.is_floating_point())


def _target(y: Tensor, share: Tensor, classes: int) -> Tensor:
    if y.is_floating_point():
        return y.unsqueeze(1) * share
    target = torch.zeros(len(y), classes, y.shape[1], dtype=share.dtype, device=y.device)
    return target.scatter_(1, y.unsqueeze(1), 1.0).mul_(share)


def _differentiate(chain: Chain, theta: State, rows: _Rows) -> None:
    """Write the gradient of each trained tensor."""
    inputs = [rows.x.transpose(1, 2)]
    for layer in chain.layers:
        inputs.append(activate_(layer.activation, linear(theta, layer, inputs[-1])))
    delta = _by_outputs(inputs.pop(), rows)
    for i, layer in reversed(list(enumerate(chain.layers))):
        torch.bmm(delta, inputs[i].transpose(1, 2), out=theta[layer.weight].grad)
        if layer.bias is not None:
            torch.sum(delta, 2, out=theta[layer.bias].grad)
        if i:
            delta = torch.bmm(theta[layer.weight].transpose(1, 2), delta)
            _by_inputs_(chain.layers[i - 1].activation, delta, inputs[i])


def _by_outputs(outputs: Tensor, rows: _Rows) -> Tensor:
    """The gradient of `losses.row_loss` by the outputs `(models, classes, rows)`."""
    predicted = outputs if rows.numeric else torch.softmax(outputs, dim=1)
    return predicted.mul_(rows.share).sub_(rows.target)


def _by_inputs_(activation: str, gradient: Tensor, outputs: Tensor) -> None:
    """Turn a gradient by the outputs of an activation into one by its inputs, in place."""
    if activation == "tanh":
        torch.ops.aten.tanh_backward.grad_input(gradient, outputs, grad_input=gradient)
    elif activation == "sigmoid":
        torch.ops.aten.sigmoid_backward.grad_input(gradient, outputs, grad_input=gradient)
    elif activation == "relu":
        gradient.mul_(outputs > 0)
