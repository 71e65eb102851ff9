"""The training rows of all providers whose rows can be read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from unshapley.models.shared_rows import SharedRows, shared_rows


@dataclass(frozen=True)
class TrainingRows:
    """Training rows of the providers whose rows can be read.

    x: `(rows, features)`; y: `(rows,)`; owner: index of each row's provider `(rows,)`.
    """

    x: Tensor
    y: Tensor
    owner: Tensor

    @cached_property
    def shared(self) -> SharedRows:
        """What of them several providers hold, found once."""
        return shared_rows(self.x, self.y, self.owner)
