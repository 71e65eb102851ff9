"""The training loss, and its derivatives with respect to a model's outputs.

For int64 labels (class codes) it is the cross-entropy in nats, with outputs as logits; for
floating-point labels it is half the squared error of a single output. int32 labels are tokens: a
row has one at each of its positions, and its loss is their cross-entropy in nats, summed, over the
number of positions, so that every token counts alike.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unshapley.data.windows import NONE
from unshapley.numerics import square_root


def is_text(y: Tensor) -> bool:
    """Whether labels `(…, rows, positions)` are tokens; negative ones are no labels."""
    return y.dtype == torch.int32


def token_loss(outputs: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of every token in nats `(…, rows, positions)`, 0 where there is none.

    outputs: `(…, rows, positions, vocabulary)`; y: `(rows, positions)` or `(…, rows, positions)`.
    """
    target = y.expand(outputs.shape[:-1]).long()
    flat = nn.functional.cross_entropy(
        outputs.flatten(0, -2), target.flatten(), ignore_index=NONE, reduction="none"
    )
    return flat.view(target.shape)


def row_loss(outputs: Tensor, y: Tensor) -> Tensor:
    """Loss of every row `(…, rows)`; outputs: `(…, rows, classes)` or `(…, rows, 1)`;
    y: `(rows,)` or `(…, rows)`; of text as `token_loss` takes them.
    """
    if is_text(y):
        return token_loss(outputs, y).mean(dim=-1)
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
