"""What coalitions keep of the training rows: how many, and how much of it several members hold.

A model that is trained twice on the same text learns it by heart; a prediction that adds up over
providers cannot know.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from unshapley.game.coalitions import Coalitions
from unshapley.game.game import Game

Floats = NDArray[np.float64]
Index = NDArray[np.int64] | NDArray[np.bool_]


@dataclass(frozen=True)
class Kept:
    """What m coalitions keep.

    shares: of all training rows `(m,)`; repeated: how much of what a coalition holds another of its
    members holds too, as `SharedRows.repeated` gives it `(m,)`; 0 where nobody repeats another's
    rows.
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
    staying, pretrained = game.staying(coalitions), game.pretrained
    shares = pretrained.share(staying).cpu().numpy()
    return Kept(shares, pretrained.rows.shared.repeated(staying.cpu().numpy()))
