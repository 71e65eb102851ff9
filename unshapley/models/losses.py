"""The training loss, and its derivatives with respect to a model's outputs.

For integer labels (class codes) it is the cross-entropy in nats, with outputs as logits; for
floating-point labels it is half the squared error of a single output.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unshapley.numerics import square_root


def row_loss(outputs: Tensor, y: Tensor) -> Tensor:
    """Loss of every row `(…, rows)`; outputs: `(…, rows, classes)` or `(…, rows, 1)`;
    y: `(rows,)` or `(…, rows)`.
    """
    if y.is_floating_point():
        return 0.5 * (outputs.squeeze(-1) - y).square()
    # classes first: torch's log-softmax over a short last dimension is five times slower
    first = outputs.movedim(-1, 0).contiguous()
    target = y.expand(outputs.shape[:-1]).unsqueeze(0)
    return -torch.log_softmax(first, dim=0).gather(0, target).squeeze(0)


def curvature_root(outputs: Tensor, y: Tensor) -> Tensor:
    """R `(rows, classes, classes)` with R Rᵀ the Hessian of each row's loss in its outputs; it
    carries no gradient.

    For cross-entropy the Hessian is diag(p) − p pᵀ, which is R Rᵀ with R = diag(√p) − p √pᵀ.
    """
    if y.is_floating_point():
        return torch.ones_like(outputs).unsqueeze(-1)
    p = torch.softmax(outputs.detach(), dim=-1)
    root = square_root(p)
    return torch.diag_embed(root) - p.unsqueeze(2) * root.unsqueeze(1)


def curvature_product(outputs: Tensor, y: Tensor, vectors: Tensor) -> Tensor:
    """Hessian of each row's loss in its outputs, times vectors `(…, classes)`.

    For cross-entropy: p ∘ v − p (p · v).
    """
    if y.is_floating_point():
        return vectors
    p = torch.softmax(outputs, dim=-1)
    return p * vectors - p * (p * vectors).sum(dim=-1, keepdim=True)
