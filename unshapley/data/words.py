"""Columns of text as numbers: counts of words and pairs of words, hashed into a few features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

WORDS = (1, 2)
"""Single words and pairs of neighbours."""


def word_features(name: str, count: int) -> list[str]:
    """Names of the features of a text column."""
    width = len(str(count - 1))
    return [f"{name}#{i:0{width}d}" for i in range(count)]


def hashed(name: str, texts: Sequence[str | None], count: int) -> pd.DataFrame:
    """Features `(rows, count)` of texts; one that is missing has no words.

    Every word and pair of words is hashed to a feature and a sign, and each row has length 1
    (Weinberger et al. 2009, feature hashing). Nothing is fitted, so no provider's words have a say
    in what another's rows become.
    """
    from sklearn.feature_extraction.text import HashingVectorizer  # its import takes a second

    hashing = HashingVectorizer(n_features=count, ngram_range=WORDS, alternate_sign=True)
    rows: NDArray[np.float64] = hashing.transform([text or "" for text in texts]).toarray()
    return pd.DataFrame(rows, columns=word_features(name, count))
