"""Split a provider's rows into training, test and reference rows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Split:
    """Rows of one provider by use."""

    train: pd.DataFrame
    test: pd.DataFrame
    reference: pd.DataFrame


def split(frame: pd.DataFrame, provider: str, *, test: float, reference: float, seed: int) -> Split:
    """Split a provider's rows at random, and keep their order in each part.

    The seed depends on the provider's name, so that a new provider does not change other splits.
    """
    order = generator(seed, "split", provider).permutation(len(frame))
    n_test, n_reference = round(test * len(frame)), round(reference * len(frame))
    cuts = np.split(order, [n_test, n_test + n_reference])
    parts = [frame.iloc[np.sort(cut)].reset_index(drop=True) for cut in cuts]
    return Split(train=parts[2], test=parts[0], reference=parts[1])


def generator(seed: int, *parts: str) -> np.random.Generator:
    """A generator whose stream depends only on the seed and the strings `parts`."""
    seed_bytes = hashlib.sha256("\x1f".join([str(seed), *parts]).encode()).digest()
    return np.random.default_rng(int.from_bytes(seed_bytes[:16], "big"))
