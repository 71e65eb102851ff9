"""A provider's rows divided into training, test and reference rows."""

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
    """Divide a provider's rows at random, in their own order; the provider's name enters the seed,
    so that a new provider leaves the split of the others as it was.
    """
    order = generator(seed, "split", provider).permutation(len(frame))
    n_test, n_reference = round(test * len(frame)), round(reference * len(frame))
    cuts = np.split(order, [n_test, n_test + n_reference])
    held_out, regulariser, train = (frame.iloc[np.sort(c)].reset_index(drop=True) for c in cuts)
    return Split(train, held_out, regulariser)


def generator(seed: int, *parts: str) -> np.random.Generator:
    """A generator whose stream depends on the seed and the given words only."""
    words = hashlib.sha256("\x1f".join([str(seed), *parts]).encode()).digest()
    return np.random.default_rng(int.from_bytes(words[:16], "big"))
