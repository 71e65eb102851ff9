"""What coalitions keep of the training rows: how many, and how much of it several members hold.

A model that is trained twice on the same text learns it by heart; a prediction that adds up over
providers cannot know.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from unshapley.data.windows import NONE
from unshapley.game.coalitions import Coalitions
from unshapley.game.game import Game
from unshapley.models.losses import is_text
from unshapley.models.pretrained import TrainingRows

RUN = 8
"""Tokens of the runs by which text is compared: copies are found that begin elsewhere in a row."""
BLOCK = 256
"""Coalitions that are counted at once."""

Floats = NDArray[np.float64]
Index = NDArray[np.int64] | NDArray[np.bool_]


@dataclass(frozen=True)
class Kept:
    """What m coalitions keep.

    shares: of all training rows `(m,)`; repeated: how much of what a coalition holds another of its
    members holds too, in shares of what it holds `(m,)`; 0 where nobody repeats another's rows.
    """

    shares: Floats
    repeated: Floats

    @classmethod
    def apart(cls, shares: Floats) -> Kept:
        """Of providers who repeat nothing of one another."""
        return cls(shares, np.zeros(len(shares)))

    def __getitem__(self, rows: Index) -> Kept:
        return replace(self, shares=self.shares[rows], repeated=self.repeated[rows])


def kept_rows(game: Game, coalitions: Coalitions) -> Kept:
    """What coalitions of players `(m, n)` keep, those who always stay with them."""
    staying = game.staying(coalitions)
    shares = game.pretrained.share(staying).cpu().numpy()
    return Kept(shares, repeated_share(game.pretrained.rows, staying.cpu().numpy()))


def repeated_share(rows: TrainingRows, staying: NDArray[np.bool_]) -> Floats:
    """How much of what each coalition holds another of its members holds too `(m,)`: 1 less what is
    different over the sum of what is different with each member.

    Counted are rows, label and all, or runs of `RUN` tokens. staying: `(m, providers)`.
    """
    providers = staying.shape[1]
    prints, owners = _prints(rows)
    order = np.lexsort((owners, prints))
    prints, owners = prints[order], owners[order]
    first = np.ones(len(prints), dtype=bool)
    first[1:] = (prints[1:] != prints[:-1]) | (owners[1:] != owners[:-1])
    prints, owners = prints[first], owners[first]
    holders, times = _shared(prints, owners, providers)
    if not len(holders):
        return np.zeros(len(staying))
    own = np.bincount(owners, minlength=providers)
    out = np.zeros(len(staying))
    for begin in range(0, len(staying), BLOCK):
        part = staying[begin : begin + BLOCK].astype(np.float64)
        again = np.maximum(part @ holders.T - 1, 0) @ times
        out[begin : begin + BLOCK] = again / np.maximum(part @ own, 1)
    return out


def _shared(
    prints: NDArray[np.uint64], owners: NDArray[np.int64], providers: int
) -> tuple[Floats, Floats]:
    """Which providers hold the same, each set of them once `(sets, providers)`, and how much.

    prints, owners: different pairs, in ascending order.
    """
    begins = np.flatnonzero(np.r_[True, prints[1:] != prints[:-1]][: len(prints)])
    held = np.diff(np.r_[begins, len(prints)])
    marks = np.random.default_rng(0).integers(1, 2**63, providers, dtype=np.uint64)
    several = held > 1
    if not several.any():
        return np.empty((0, providers)), np.empty(0)
    sets = np.add.reduceat(marks[owners], begins)[several]
    _, example, times = np.unique(sets, return_index=True, return_counts=True)
    holders = np.zeros((len(example), providers))
    for row, begin, count in zip(
        holders, begins[several][example], held[several][example], strict=True
    ):
        row[owners[begin : begin + count]] = 1
    return holders, times.astype(np.float64)


def _prints(rows: TrainingRows) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """A 64-bit hash of each row, or run of tokens, and whose it is."""
    x, y, owner = rows.x.cpu().numpy(), rows.y.cpu().numpy(), rows.owner.cpu().numpy()
    if not is_text(rows.y):
        table = np.column_stack([x.reshape(len(y), -1), y]).astype(np.float64)
        return _hashed((table + 0.0).view(np.uint64)), owner  # −0 and 0 are the same
    runs = np.lib.stride_tricks.sliding_window_view(y, min(RUN, y.shape[1]), axis=1)
    whole = (runs != NONE).all(axis=2)
    return _hashed(runs[whole].astype(np.uint64)), np.repeat(owner, whole.sum(axis=1))


def _hashed(table: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Of each row of whole numbers: a sum of products by odd numbers, mixed."""
    factors = np.random.default_rng(1).integers(0, 2**63, table.shape[1], dtype=np.uint64) * 2 + 1
    mixed = (table ^ (table >> np.uint64(32))) * factors
    out: NDArray[np.uint64] = (mixed ^ (mixed >> np.uint64(29))).sum(axis=1, dtype=np.uint64)
    return out
