"""The rows that coalitions are trained on."""

from __future__ import annotations

import torch
from torch import Tensor

from unshapley.models.pretrained import TrainingRows


def padded(rows: TrainingRows, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each coalition's own rows, padded to the longest: x `(m, rows, features)`, y, weights.

    chosen: providers of the rows, boolean `(m, n)`. Weights are 1 for rows and 0 for padding. The
    cost of training depends on the largest coalition of a batch, so that coalitions of similar size
    should be batched.
    """
    selected = chosen[:, rows.owner]
    longest = max(1, int(selected.sum(dim=1).max()))
    index = torch.argsort(~selected, dim=1, stable=True)[:, :longest]
    return rows.x[index], rows.y[index], selected.gather(1, index).to(rows.x.dtype)
