"""Directions of a model's weights in which its loss is curved most, from Kronecker factors.

In every linear layer and convolution, curvature is nearly diagonal in the eigenvectors of the
layer's inputs and of the derivatives of its outputs (George et al. 2018, "Fast Approximate Natural
Gradient Descent in a Kronecker-factored Eigenbasis"; Grosse et al. 2023, "Studying Large Language
Model Generalization with Influence Functions", section 3.2). Two passes over the rows find the
curvature along each of these directions, where subspace iteration needs products with matrices of
all rows' derivatives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from unshapley.models.batching import State, forward_hooks
from unshapley.models.losses import curvature_root
from unshapley.models.rows import Rows
from unshapley.progress import Advance

BLOCK_BYTES = 16 * 2**20
"""Bytes of the derivatives of a block of rows: larger pieces of memory would be given back to the
system after each block, and taken anew."""


@dataclass
class Layer:
    """A linear layer or convolution whose weights are a matrix `(outputs, inputs)`, the last column
    being the bias if it has one.

    inputs, outputs: eigenvectors, as columns; curvature: along each of their pairs
    `(outputs, inputs)`, summed over rows.
    """

    name: str
    module: nn.Module
    inputs: Tensor = field(default_factory=lambda: torch.zeros(()))
    outputs: Tensor = field(default_factory=lambda: torch.zeros(()))
    curvature: Tensor = field(default_factory=lambda: torch.zeros(()))

    @property
    def parameters(self) -> list[str]:
        """Names of its weights, and of its bias if it has one."""
        prefix = f"{self.name}." if self.name else ""
        return [prefix + name for name, _ in self.module.named_parameters(recurse=False)]

    @property
    def shape(self) -> torch.Size:
        """Shape of its weight."""
        weight = self.module.weight
        assert isinstance(weight, Tensor)
        return weight.shape

    def patches(self, x: Tensor) -> Tensor:
        """Inputs `(rows, positions, inputs)`, with a one for the bias."""
        if isinstance(self.module, nn.Conv2d):
            m = self.module
            columns = nn.functional.unfold(
                x, m.kernel_size, m.dilation, _two(m.padding), m.stride
            ).transpose(1, 2)
        else:
            columns = x.flatten(1, -2) if x.dim() > 2 else x.unsqueeze(1)
        if self.module.bias is not None:
            columns = torch.cat([columns, torch.ones_like(columns[..., :1])], dim=-1)
        return columns

    def derivatives(self, g: Tensor) -> Tensor:
        """Derivatives of its outputs `(columns, rows, positions, outputs)`."""
        if isinstance(self.module, nn.Conv2d):
            return g.flatten(3).transpose(2, 3)
        return g.flatten(2, -2) if g.dim() > 3 else g.unsqueeze(2)

    def weights(self, matrices: Tensor) -> State:
        """Matrices `(…, outputs, inputs)` as its weights and bias, by name."""
        weight, *bias = self.parameters
        shape = (*matrices.shape[:-1], *self.shape[1:])
        if not bias:
            return {weight: matrices.reshape(shape)}
        return {weight: matrices[..., :-1].reshape(shape), bias[0]: matrices[..., -1]}


def _two(padding: object) -> tuple[int, int]:
    assert isinstance(padding, tuple)
    return padding


def layers_of(model: nn.Module, state: State, parameters: Sequence[str], x: Tensor) -> list[Layer]:
    """The layers that are used once in a forward pass, and have only weights that are covered."""
    calls: dict[str, int] = {}

    def count(name: str) -> Any:
        return lambda *_: calls.__setitem__(name, calls.get(name, 0) + 1)

    found = [Layer(n, m) for n, m in model.named_modules() if _is_matrix(m)]
    with torch.no_grad(), forward_hooks({f.name: f.module for f in found}, count):
        functional_call(model, state, (x[:1],))
    covered = set(parameters)
    once = [f for f in found if calls.get(f.name) == 1 and f.parameters]  # frozen ones have none
    return [f for f in once if covered.issuperset(f.parameters)]


def outside_of(layers: Sequence[Layer], parameters: Sequence[str]) -> list[str]:
    """The parameters that are in none of the layers."""
    return [n for n in parameters if not any(n in layer.parameters for layer in layers)]


def _is_matrix(module: nn.Module) -> bool:
    if type(module) is nn.Conv2d:
        plain = module.groups == 1 and module.padding_mode == "zeros"
        return plain and not isinstance(module.padding, str)
    return type(module) is nn.Linear  # a subclass may compute something else with its weights


def fit_layers(
    model: nn.Module,
    state: State,
    layers: Sequence[Layer],
    partitions: Sequence[Rows],
    advance: Advance,
) -> None:
    """Find eigenvectors and curvatures of the layers, from two passes over all partitions."""
    if not layers:
        return
    sums: list[tuple[Tensor, Tensor]] = [(torch.zeros(()), torch.zeros(()))] * len(layers)
    for rows in partitions:
        for parts in _derivatives(model, state, layers, rows):
            sums = [(a + gram(x), g + gram(d)) for (a, g), (x, d) in zip(sums, parts, strict=True)]
        advance(1)
    for layer, (of_inputs, of_outputs) in zip(layers, sums, strict=True):
        layer.inputs, layer.outputs = eigenvectors(of_inputs), eigenvectors(of_outputs)
    for rows in partitions:
        for parts in _derivatives(model, state, layers, rows):
            for layer, (x, d) in zip(layers, parts, strict=True):
                layer.curvature = layer.curvature + _squares(x @ layer.inputs, d @ layer.outputs)
        advance(1)


def _squares(x: Tensor, d: Tensor) -> Tensor:
    """Squared derivatives by the weights, summed over rows and columns `(outputs, inputs)`."""
    if x.shape[1] == 1:  # one position: the square of a product is the product of squares
        return d.square().sum(dim=0)[:, 0].T @ x.square()[:, 0]
    return torch.einsum("crpo,rpi->croi", d, x).square().sum(dim=(0, 1))


def gram(x: Tensor) -> Tensor:
    """Σ x xᵀ over all but the last dimension."""
    flat = x.flatten(0, -2)
    return flat.T @ flat


def eigenvectors(matrix: Tensor) -> Tensor:
    """Eigenvectors of a symmetric matrix, as columns, found in double precision."""
    vectors: Tensor = torch.linalg.eigh(matrix.double()).eigenvectors
    return vectors.to(matrix.dtype)


def _derivatives(
    model: nn.Module, state: State, layers: Sequence[Layer], rows: Rows
) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """For blocks of the rows, of every layer its inputs `(rows, positions, inputs)` and derivatives
    `(columns, rows, positions, outputs)` of the columns of `curvature_root`.
    """
    x, y = rows
    with torch.no_grad(), watched(layers) as seen:
        outputs = functional_call(model, state, (x[:1],))
    # derivatives of outputs, and of weights
    largest = max((out.numel() for _, out in seen.values()), default=1)
    largest = max([largest, *(layer.shape.numel() for layer in layers)])
    size = max(1, BLOCK_BYTES // (4 * outputs.shape[-1] * largest))
    for start in range(0, len(x), size):
        yield _of_block(model, state, layers, x[start : start + size], y[start : start + size])


def _of_block(
    model: nn.Module, state: State, layers: Sequence[Layer], x: Tensor, y: Tensor
) -> list[tuple[Tensor, Tensor]]:
    with watched(layers) as seen:
        outputs = functional_call(model, state, (x,))
    root = curvature_root(outputs.detach(), y)
    outs = [seen[layer.name][1] for layer in layers]
    # a scalar: with a tensor for the direction, torch imports a library of algebra
    columns = [
        torch.autograd.grad((outputs * root[..., c]).sum(), outs, retain_graph=True)
        for c in range(root.shape[-1])
    ]
    return [
        (
            layer.patches(seen[layer.name][0]),
            layer.derivatives(torch.stack([column[i] for column in columns])),
        )
        for i, layer in enumerate(layers)
    ]


@contextmanager
def watched(layers: Sequence[Layer]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Inputs and outputs of the layers by name; outputs can be differentiated by."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def remember(name: str) -> Any:
        def hook(_module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
            out = out if out.requires_grad else out.detach().requires_grad_()
            seen[name] = (args[0].detach(), out)
            return out

        return hook

    with forward_hooks({layer.name: layer.module for layer in layers}, remember):
        yield seen


def factors_of(
    model: nn.Module,
    state: State,
    layers: Sequence[Layer],
    parameters: Sequence[str],
    rows: Rows,
) -> Iterator[Tensor]:
    """Root of the Gauss-Newton matrix `(columns · rows, weights)`, block by block of the rows; all
    of the parameters must be in the layers.
    """
    for parts in _derivatives(model, state, layers, rows):
        weights: State = {}
        for layer, (x, d) in zip(layers, parts, strict=True):
            matrices = torch.einsum("crpo,rpi->croi", d, x).flatten(0, 1)
            weights.update(layer.weights(matrices))
        yield torch.cat([weights[name].flatten(1) for name in parameters], dim=1)


def leading_directions(
    layers: Sequence[Layer], others: State, parameters: Sequence[str], state: State, count: int
) -> Tensor:
    """The `count` directions of most curvature, as orthonormal columns `(weights, count)`: pairs of
    eigenvectors of the layers, and single weights of other modules.

    others: curvature along each weight that is in no layer, by name.
    """
    parts = [
        *(layer.curvature.flatten() for layer in layers),
        *(c.flatten() for c in others.values()),
    ]
    curvature = torch.cat(parts)
    chosen = curvature.topk(min(count, len(curvature))).indices
    columns = {name: state[name].new_zeros(len(chosen), *state[name].shape) for name in parameters}
    begin = 0
    for i, part in enumerate(parts):
        mine = ((chosen >= begin) & (chosen < begin + len(part))).nonzero().squeeze(1)
        index = chosen[mine] - begin
        begin += len(part)
        if i < len(layers):
            layer, width = layers[i], layers[i].curvature.shape[1]
            left, right = layer.outputs[:, index // width], layer.inputs[:, index % width]
            for name, part_of in layer.weights(torch.einsum("ok,ik->koi", left, right)).items():
                columns[name][mine] = part_of
        else:
            columns[list(others)[i - len(layers)]].view(len(chosen), -1)[mine, index] = 1.0
    return torch.cat([columns[name].flatten(1) for name in parameters], dim=1).T
