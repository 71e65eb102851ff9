"""Stored games: the utilities of all coalitions, as games.py measured them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unshapley.game.coalitions import Coalitions, from_bits

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "games"
GAMES = ("uneven8", "uneven10", "forms12")
UNLEARNERS = ("hybrid", "retrain")
UTILITIES = ("neg_log_loss", "accuracy")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StoredGame:
    """Utilities of all coalitions of n providers `(2ⁿ,)`; bit i of a place: provider i stays."""

    n: int
    utilities: Floats

    def __call__(self, coalitions: Coalitions) -> Floats:
        """Utilities of coalitions `(m, n)` → `(m,)`."""
        return self.utilities[np.atleast_2d(coalitions) @ (1 << np.arange(self.n))]


def path_of(game: str, unlearner: str) -> Path:
    return FOLDER / f"{game}-{unlearner}.parquet"


@cache
def load(game: str, unlearner: str, utility: str) -> StoredGame:
    """One stored game, of one unlearner and one utility."""
    frame = pd.read_parquet(path_of(game, unlearner))
    coalitions = from_bits(frame["coalition"].tolist())
    n = coalitions.shape[1]
    utilities = np.full(2**n, np.nan)
    utilities[coalitions @ (1 << np.arange(n))] = frame[utility].to_numpy()
    return StoredGame(n, utilities)
