"""The rows that coalitions are trained on, in each step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from unshapley.models.training_rows import TrainingRows

Batch = tuple[Tensor, Tensor, Tensor]
"""x `(m, rows, features)`, y `(m, rows)`, and the shares of the rows in the loss of each model
`(m, rows)`, which sum to 1, or to 0 for a model that has no row"""
Batches = Callable[[int], Batch]
"""(step, from 0) → the rows of that step"""


@dataclass(frozen=True)
class FullBatch:
    """The same rows in every step, as a `Batch` has them."""

    x: Tensor
    y: Tensor
    share: Tensor

    @classmethod
    def weighted(cls, x: Tensor, y: Tensor, weights: Tensor) -> Self:
        """Rows with non-negative weights `(m, rows)`."""
        return cls(x, y, _shares(weights))

    def __call__(self, step: int) -> Batch:
        return self.x, self.y, self.share

    def lengths(self) -> Tensor:
        """Rows of each model up to its last one with a share in the loss, at least 1 `(m,)`."""
        number = torch.arange(1, self.share.shape[1] + 1, device=self.share.device)
        return (number * (self.share > 0)).amax(dim=1).clamp(min=1)

    def take(self, models: Tensor, rows: int) -> Self:
        """The first rows of some of the models."""
        x, y, share = (tensor[models, :rows] for tensor in self(0))
        return replace(self, x=x, y=y, share=share)


class MiniBatches:
    """Each step a slice of an order of all training rows, which is drawn anew for every pass.

    The order is of the rows of all providers, readable or not, and a model is trained on those of
    its own rows that lie in the slice: so what a model is does not depend on which coalitions are
    computed together. The last slice of a pass may be shorter.

    counts: number of rows of each provider `(n,)`; staying: `(m, n)`; size: rows of a slice.
    """

    def __init__(
        self, rows: TrainingRows, counts: Tensor, staying: Tensor, size: int, seed: int
    ) -> None:
        self._rows, self._staying, self._seed = rows, staying, seed
        self._size, self.steps_of_pass = size, -(-int(counts.sum()) // size)
        self._owner = torch.repeat_interleave(torch.arange(len(counts)), counts.cpu())
        self._owner = self._owner.to(rows.owner.device)
        self._readable = _readable(rows.owner, counts)
        self._pass: tuple[int, Tensor] = (-1, torch.empty(0))
        self.moving = torch.ones(len(staying), dtype=torch.bool, device=staying.device)
        """which models have a row in the latest step `(m,)`"""

    def __call__(self, step: int) -> Batch:
        number, slice_of_pass = divmod(step, self.steps_of_pass)
        begin = slice_of_pass * self._size
        chosen = self._order(number)[begin : begin + self._size]
        index = self._readable[chosen]
        rows = TrainingRows(self._rows.x[index], self._rows.y[index], self._owner[chosen])
        x, y, weights = padded(rows, self._staying)
        self.moving = weights.any(dim=1)
        return x, y, _shares(weights)

    def _order(self, number: int) -> Tensor:
        """The rows in the order of a pass, by their place among those of all providers."""
        if self._pass[0] != number:
            drawn = np.random.default_rng([self._seed, number]).permutation(len(self._owner))
            self._pass = number, torch.from_numpy(drawn).to(self._owner.device)
        return self._pass[1]


def _readable(owner: Tensor, counts: Tensor) -> Tensor:
    """Index of every provider's rows among those that can be read; 0 for the others `(rows,)`."""
    index = torch.zeros(int(counts.sum()), dtype=torch.long, device=owner.device)
    begin = counts.to(owner.device).cumsum(0) - counts.to(owner.device)
    by_owner = owner.argsort(stable=True)
    ordered = owner[by_owner].contiguous()
    rank = torch.arange(len(owner), device=owner.device) - torch.searchsorted(ordered, ordered)
    index[begin[ordered] + rank] = by_owner
    return index


def _shares(weights: Tensor) -> Tensor:
    return weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-12)


def padded(rows: TrainingRows, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each coalition's own rows, padded to the longest: x `(m, rows, features)`, y, weights.

    chosen: providers of the rows, boolean `(m, n)`. Weights are 1 for rows and 0 for padding. The
    cost of training depends on the largest coalition of a batch, so that coalitions of similar size
    should be batched.
    """
    selected = chosen[:, rows.owner]
    longest = max(1, int(selected.sum(dim=1).max()))
    index = torch.argsort(~selected, dim=1, stable=True)[:, :longest]
    dtype = rows.x.dtype if rows.x.is_floating_point() else torch.get_default_dtype()
    return rows.x[index], rows.y[index], selected.gather(1, index).to(dtype)
