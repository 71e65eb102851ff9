"""Curvature: the statistics that a retain-free unlearner needs in place of the rows.

For every provider the gradient and the generalised Gauss-Newton matrix of its summed loss at the
pretrained weights, in the coordinates of a basis that belongs to the model: the directions of
largest curvature of the loss of all rows. Statistics are additive over providers, and a provider
can compute its own from its rows, the checkpoint and the basis alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from unshapley.config import CurvatureSettings
from unshapley.curvature.eigenbasis import (
    BLOCK_BYTES,
    factors_of,
    fit_layers,
    layers_of,
    leading_directions,
    outside_of,
)
from unshapley.curvature.features import collect_features, head_moments
from unshapley.errors import InputError
from unshapley.models.batching import State, can_batch_gradients, name_of
from unshapley.models.layers import last_layer
from unshapley.models.losses import curvature_root, row_loss
from unshapley.models.pretrained import (
    CurvatureStatistics,
    Pretrained,
    flat,
    project,
)
from unshapley.models.rows import Rows
from unshapley.numerics import deterministic
from unshapley.progress import Advance

PASSES = 4
"""Passes over a provider's rows: three for the basis, one for the statistics in it."""
GRADIENTS = 100
"""Most directions for the providers' gradients: with one for each provider, the statistics would
grow with the cube of the number of providers."""


def provider_statistics(
    model: nn.Module, state: State, parameters: Sequence[str], basis: Tensor | None, rows: Rows
) -> tuple[Tensor, Tensor]:
    """Gradient `(k,)` and Gauss-Newton matrix `(k, k)` of one provider's summed loss, float64.

    One pass over its rows. The Gauss-Newton matrix is Σ Jᵀ H J with J the Jacobian of the outputs
    and H the Hessian of the row loss (Schraudolph 2002, "Fast Curvature Matrix-Vector Products").
    """
    hessian = torch.zeros(())
    layers = layers_of(model, state, parameters, rows[0])
    if outside_of(layers, parameters):
        blocks = _factors(model, state, parameters, rows)
    else:
        blocks = factors_of(model, state, layers, parameters, rows)
    for factors in blocks:
        root = project(factors, basis).double()
        hessian = hessian + root.T @ root
    gradient = project(_gradient(model, state, parameters, rows), basis).double()
    return gradient, hessian


def make_basis(
    model: nn.Module,
    state: State,
    initial: State,
    parameters: Sequence[str],
    directions: int,
    partitions: Mapping[str, Rows],
    advance: Advance = lambda _count: None,
) -> Tensor | None:
    """Directions of largest curvature of the loss of all partitions, as orthonormal columns
    `(weights, k)`.

    The `directions` leading ones of the layers' Kronecker eigenbasis (`eigenbasis`), then every
    provider's gradient (of more than `GRADIENTS` their principal directions), and the difference of
    the pretrained and the initial weights. None if the model has so few weights that all directions
    are kept. advance: called after each of three passes over a provider's rows.
    """
    theta = flat(state, parameters)
    extra = min(len(partitions), GRADIENTS) + 1
    if len(theta) <= directions + extra:
        return None
    rows = list(partitions.values())
    layers = layers_of(model, state, parameters, rows[0][0])
    fit_layers(model, state, layers, rows, advance)
    rest = outside_of(layers, parameters)
    others = {name: torch.zeros_like(state[name]) for name in rest}
    gradients = []
    for part in rows:
        gradients.append(_gradient(model, state, parameters, part))
        for factors in _factors(model, state, rest, part) if rest else ():
            squares = torch.split(factors.square().sum(dim=0), [others[n].numel() for n in rest])
            for name, square in zip(rest, squares, strict=True):
                others[name] += square.view_as(others[name])
        advance(1)
    lead = leading_directions(layers, others, parameters, state, directions)
    training = (theta - flat(initial, parameters)).unsqueeze(0)
    spans = torch.cat([leading(torch.stack(gradients), GRADIENTS), training])
    # of length one like the leading ones, or the span of the small ones would be lost in rounding
    spans = spans / spans.norm(dim=1, keepdim=True).clamp(min=torch.finfo(spans.dtype).tiny)
    return orthonormal(torch.cat([lead, spans.T], dim=1))


def _gradient(model: nn.Module, state: State, parameters: Sequence[str], rows: Rows) -> Tensor:
    """Gradient of the summed loss of rows `(weights,)`."""
    x, y = rows
    total = torch.zeros(())
    size = max(1, BLOCK_BYTES // (4 * x[0].numel()))
    for start in range(0, len(x), size):
        theta = {n: state[n].detach().clone().requires_grad_() for n in parameters}
        outputs = functional_call(model, {**state, **theta}, (x[start : start + size],))
        loss = row_loss(outputs, y[start : start + size]).sum()
        parts = torch.autograd.grad(loss, list(theta.values()), allow_unused=True)
        filled = [
            torch.zeros_like(state[n]) if p is None else p
            for n, p in zip(theta, parts, strict=True)
        ]
        total = total + torch.cat([p.flatten() for p in filled])
    return total


def leading(rows: Tensor, count: int) -> Tensor:
    """The leading right singular vectors of a matrix `(count, columns)`, scaled by their singular
    values; the rows themselves if there are no more of them.
    """
    if len(rows) <= count:
        return rows
    vectors = torch.linalg.eigh((rows @ rows.T).double()).eigenvectors.flip(1)[:, :count]
    scaled: Tensor = vectors.T.to(rows.dtype) @ rows
    return scaled


def orthonormal(columns: Tensor) -> Tensor:
    """Orthonormal columns that span the same space `(weights, k)`."""
    basis: Tensor = torch.linalg.qr(columns)[0].contiguous()
    return basis


def _factors(
    model: nn.Module, state: State, parameters: Sequence[str], rows: Rows
) -> Iterator[Tensor]:
    """Root of the Gauss-Newton matrix `(rows · outputs, weights)` of any parameters, block by block
    of the rows, so that memory is bounded.
    """
    x, y = rows
    theta = {name: state[name] for name in parameters}
    with torch.no_grad():
        outputs = functional_call(model, state, (x[:1],))
    weights = sum(tensor.numel() for tensor in theta.values())
    size = max(1, BLOCK_BYTES // (4 * weights * outputs.shape[-1]))
    for start in range(0, len(x), size):
        block, labels = x[start : start + size], y[start : start + size]
        with torch.no_grad():
            outputs = functional_call(model, state, (block,))
        batch = can_batch_gradients(model, state, theta, block)
        jacobian = _jacobian(model, state, theta, block, batch=batch)
        root = curvature_root(outputs, labels)
        yield torch.einsum("rcd,rcw->rdw", root, jacobian).flatten(0, 1)


def _jacobian(model: nn.Module, state: State, theta: State, x: Tensor, *, batch: bool) -> Tensor:
    """Jacobian `(rows, classes, weights)` of every row's outputs with respect to `theta`."""

    def outputs(theta: State, row: Tensor) -> Tensor:
        return functional_call(model, {**state, **theta}, (row.unsqueeze(0),)).squeeze(0)  # type: ignore[no-any-return]

    if batch:
        parts = vmap(jacrev(outputs), in_dims=(None, 0))(theta, x)
        return torch.cat([part.flatten(2) for part in parts.values()], dim=2)
    theta = {name: tensor.detach().requires_grad_() for name, tensor in theta.items()}
    rows = []
    for row in x:
        gradients = [
            torch.autograd.grad(output, list(theta.values()), retain_graph=True, allow_unused=True)
            for output in outputs(theta, row)
        ]
        rows.append(
            torch.stack(
                [
                    torch.cat(
                        [
                            (torch.zeros_like(t) if g is None else g).flatten()
                            for g, t in zip(gradient, theta.values(), strict=True)
                        ]
                    )
                    for gradient in gradients
                ]
            )
        )
    return torch.stack(rows)


@deterministic()
def with_statistics(
    pretrained: Pretrained, partitions: Mapping[str, Rows], settings: CurvatureSettings
) -> Pretrained:
    """`pretrained` with the curvature statistics and feature moments of all partitions."""
    model, state = pretrained.model, pretrained.trained
    names, layer = covered(model, settings, pretrained.reference[0])
    basis = make_basis(model, state, pretrained.initial, names, settings.directions, partitions)
    sums = [provider_statistics(model, state, names, basis, r) for r in partitions.values()]
    curvature = CurvatureStatistics(
        tuple(names),
        basis,
        torch.stack([gradient for gradient, _ in sums]),
        torch.stack([hessian for _, hessian in sums]),
        pretrained.counts.double(),
    )
    features = None
    if layer is not None:
        features = collect_features([head_moments(model, rows) for rows in partitions.values()])
    return replace(pretrained, curvature=curvature, features=features)


def covered(
    model: nn.Module, settings: CurvatureSettings, x: Tensor
) -> tuple[list[str], str | None]:
    """Names of the parameters that the statistics cover, and of the last linear layer if any.

    Raises `InputError` if only the last layer is to be covered and the model has no such layer.
    """
    layer = last_layer(model, x)
    names = [name for name, _ in model.named_parameters()]
    if settings.layers == "all":
        return names, layer
    if layer is None:
        raise InputError(
            f"{name_of(model)} does not end in a torch.nn.Linear",
            where="curvature.layers",
            do="set it to all",
        )
    return [name for name in names if name.rpartition(".")[0] == layer], layer
