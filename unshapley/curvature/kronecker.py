"""Curvature of every weight of a large model, diagonal in the eigenbasis of its layers.

In the eigenvectors of a linear layer's inputs and of the derivatives of its outputs the Fisher
matrix is nearly diagonal (George et al., "Fast Approximate Natural Gradient Descent in a
Kronecker-factored Eigenbasis", NeurIPS 2018), so that two numbers a weight tell a provider's part
in it: its gradient, and the mean square of gradients whose labels are drawn from the model. Both
add up over providers, and a provider can compute its own from its rows, the checkpoint and the
basis. Where a vocabulary of outputs makes the exact matrix of `curvature.statistics` too dear.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from unshapley.curvature.eigenbasis import (
    Layer,
    eigenvectors,
    gram,
    layers_of,
    outside_of,
    watched,
)
from unshapley.models.batching import State
from unshapley.models.losses import token_loss
from unshapley.models.rows import Rows
from unshapley.models.training import trainable
from unshapley.progress import Advance

BLOCK_BYTES = 64 * 2**20
"""Bytes of the gradients of a block of rows."""
SAMPLING = 0
"""Seed of the labels that are drawn from the model."""


def kronecker_basis(
    model: nn.Module, state: State, partitions: Sequence[Rows], advance: Advance
) -> State:
    """The basis, as `KroneckerStatistics` has it, from one pass over all partitions."""
    layers = _layers(model, state, partitions[0])
    sums = [(torch.zeros(()), torch.zeros(()))] * len(layers)
    for rows in partitions:
        for x, sampled in _sampled(model, state, rows):
            parts = _derivatives(model, state, layers, x, sampled)
            sums = [
                (a + gram(inputs), g + gram(d))
                for (a, g), (inputs, d) in zip(sums, parts, strict=True)
            ]
        advance(1)
    basis: State = {}
    for layer, (of_inputs, of_outputs) in zip(layers, sums, strict=True):
        basis[f"{layer.name}.inputs"] = eigenvectors(of_inputs).contiguous()
        basis[f"{layer.name}.outputs"] = eigenvectors(of_outputs).contiguous()
    return basis


def kronecker_statistics(
    model: nn.Module, state: State, basis: State, rows: Rows
) -> tuple[State, State]:
    """Gradient and squares of one provider by parameter, as `KroneckerStatistics` has them."""
    layers = [layer for layer in _layers(model, state, rows) if f"{layer.name}.inputs" in basis]
    names = trainable(model)
    rest = outside_of(layers, names)
    gradient = rotated(basis, _gradient(model, state, names, rows))
    squares = {name: torch.zeros_like(state[name]) for name in names}
    for x, sampled in _sampled(model, state, rows):
        for layer, (inputs, d) in zip(
            layers, _derivatives(model, state, layers, x, sampled), strict=True
        ):
            left, right = d @ basis[f"{layer.name}.outputs"], inputs @ basis[f"{layer.name}.inputs"]
            square = torch.einsum("rpo,rpi->roi", left, right).square().sum(dim=0)
            for name, part in layer.weights(square).items():
                squares[name] += part
        for name, part in _row_gradients(model, state, rest, x, sampled).items():
            squares[name] += part.square().sum(dim=0)
    return gradient, squares


def rotated(basis: State, state: State, *, back: bool = False) -> State:
    """Parameters by name `(…)` in the coordinates of a basis, or `back` from them; with further
    dimensions in front `(m, …)` alike.
    """
    out = dict(state)
    for inputs in (name for name in basis if name.endswith(".inputs")):
        layer = inputs.removesuffix(".inputs")
        left, right = basis[f"{layer}.outputs"], basis[inputs]
        weight, bias = f"{layer}.weight", f"{layer}.bias"
        matrix = state[weight]
        if bias in state:
            matrix = torch.cat([matrix, state[bias].unsqueeze(-1)], dim=-1)
        turned = left @ matrix @ right.T if back else left.T @ matrix @ right
        out[weight] = turned[..., :-1] if bias in state else turned
        if bias in state:
            out[bias] = turned[..., -1]
    return out


def _layers(model: nn.Module, state: State, rows: Rows) -> list[Layer]:
    """The linear layers that are used once in a forward pass."""
    layers = layers_of(model, state, trainable(model), rows[0])
    return [layer for layer in layers if isinstance(layer.module, nn.Linear)]


def _sampled(model: nn.Module, state: State, rows: Rows) -> Iterator[tuple[Tensor, Tensor]]:
    """Blocks of rows with labels drawn from the model where there are any, both
    `(rows, positions)`.
    """
    x, y = rows
    generator = torch.Generator(x.device).manual_seed(SAMPLING)
    weights = sum(state[name].numel() for name in trainable(model))
    size = max(1, BLOCK_BYTES // (4 * weights))
    for begin in range(0, len(x), size):
        part, labels = x[begin : begin + size], y[begin : begin + size]
        with torch.no_grad():
            p = functional_call(model, state, (part,)).softmax(dim=-1)
        drawn = torch.multinomial(p.flatten(0, -2), 1, generator=generator).view(labels.shape)
        yield part, torch.where(labels >= 0, drawn.int(), labels)


def _derivatives(
    model: nn.Module, state: State, layers: Sequence[Layer], x: Tensor, y: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """Of every layer its inputs `(rows, positions, inputs)`, with a one for the bias, and the
    derivatives of the loss by its outputs `(rows, positions, outputs)`.
    """
    with watched(layers) as seen:
        loss = token_loss(functional_call(model, state, (x,)), y).sum()
    slopes = torch.autograd.grad(loss, [seen[layer.name][1] for layer in layers])
    return [
        (layer.patches(seen[layer.name][0]), slope.flatten(1, -2))
        for layer, slope in zip(layers, slopes, strict=True)
    ]


def _row_gradients(
    model: nn.Module, state: State, names: Sequence[str], x: Tensor, y: Tensor
) -> State:
    """Gradient of every row's loss by parameters `(rows, …)`."""

    def loss(theta: State, x: Tensor, y: Tensor) -> Tensor:
        outputs = functional_call(model, {**state, **theta}, (x.unsqueeze(0),))
        return token_loss(outputs, y.unsqueeze(0)).sum()

    if not names:
        return {}
    theta = {name: state[name] for name in names}
    gradients: State = vmap(grad(loss), in_dims=(None, 0, 0))(theta, x, y)
    return gradients


def _gradient(model: nn.Module, state: State, names: Sequence[str], rows: Rows) -> State:
    """Gradient of the summed loss of the tokens by parameter."""
    x, y = rows
    theta = {name: state[name].detach().clone().requires_grad_() for name in names}
    weights = sum(tensor.numel() for tensor in theta.values())
    size = max(1, BLOCK_BYTES // (4 * weights))
    for begin in range(0, len(x), size):
        outputs = functional_call(model, {**state, **theta}, (x[begin : begin + size],))
        token_loss(outputs, y[begin : begin + size]).sum().backward()  # type: ignore[no-untyped-call]
    return {n: torch.zeros_like(t) if t.grad is None else t.grad for n, t in theta.items()}
