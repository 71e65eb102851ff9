"""Split a provider's rows into training, test and reference rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from unshapley.data.tables import fingerprints

TRAIN, TEST, REFERENCE = range(3)


@dataclass(frozen=True)
class Split:
    """Rows of one provider by use."""

    train: pd.DataFrame
    test: pd.DataFrame
    reference: pd.DataFrame


def split(
    frame: pd.DataFrame,
    provider: str,
    *,
    test: float,
    reference: float,
    seed: int,
    features: Sequence[str] | None = None,
) -> Split:
    """Split a provider's rows at random, and keep their order in each part.

    Rows that are equal in `features` (by default in all columns) go to the same part: they are
    taken in random order, each with its equals, if that brings the part closer to its share. The
    seed depends on the provider's name, so that a new provider does not change other splits.
    """
    order = generator(seed, "split", provider).permutation(len(frame))
    prints = fingerprints(frame, features or list(frame.columns))
    group = pd.factorize(prints[order])[0]
    part = np.full(len(frame), TRAIN)
    left = dict(enumerate(np.bincount(group).tolist()))
    for number, share in ((TEST, test), (REFERENCE, reference)):
        for taken in _closest(left, round(share * len(frame))):
            part[taken] = number
            del left[taken]
    rows = [np.sort(order[part[group] == number]) for number in (TRAIN, TEST, REFERENCE)]
    return Split(*(frame.iloc[index].reset_index(drop=True) for index in rows))


def _closest(sizes: Mapping[int, int], wanted: int) -> list[int]:
    """Groups in their order, each of which brings their total closer to the wanted one."""
    taken = []
    for group, size in sizes.items():
        if wanted <= 0:
            break
        if size < 2 * wanted:
            taken.append(group)
            wanted -= size
    return taken


def generator(seed: int, *parts: str) -> np.random.Generator:
    """A generator whose stream depends only on the seed and the strings `parts`."""
    seed_bytes = hashlib.sha256("\x1f".join([str(seed), *parts]).encode()).digest()
    return np.random.default_rng(int.from_bytes(seed_bytes[:16], "big"))
