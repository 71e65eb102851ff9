"""scikit-learn's digits by the form they were written on: 14 natural providers.

The 1,797 rows are in the order in which the forms were scanned. Every form has the same 130 digits,
starting with 0 … 9 three times, but on some forms single digits are missing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

HEAD = [*range(10)] * 3
"""The first digits of every form."""


def load_forms() -> dict[str, pd.DataFrame]:
    """Rows by provider `form-00` … `form-13`: 64 pixels (0 to 16), then the digit."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    frame = pd.DataFrame(bunch.data, columns=[f"pixel_{i:02d}" for i in range(64)])
    frame["label"] = bunch.target
    starts = form_starts(bunch.target.tolist())
    return {
        f"form-{i:02d}": frame.iloc[start:stop].reset_index(drop=True)
        for i, (start, stop) in enumerate(zip(starts, [*starts[1:], len(frame)], strict=True))
    }


def form_starts(labels: Sequence[int], length: int = 130) -> list[int]:
    """First row of every form, by aligning `labels` with the end and the start of a form.

    A form has `length` digits or up to ten fewer. The cost of a cut is the edit distance of the
    labels before it to the end of the first form, plus that of the labels after it to `HEAD`.
    """
    tail = list(labels[length - 12 : length])
    starts = [0]
    while starts[-1] + length < len(labels):
        cuts = range(starts[-1] + length - 10, starts[-1] + length + 1)
        # of equal costs the later cut: digits are rather missing at the start of a form
        starts.append(min(cuts, key=lambda cut: (_cost(labels, cut, tail), -cut)))
    return starts


def _cost(labels: Sequence[int], cut: int, tail: Sequence[int]) -> int:
    before = edit_distances(tail[::-1], labels[cut - len(tail) : cut][::-1])
    after = edit_distances(HEAD, labels[cut : cut + len(HEAD)])
    return int(before.min() + after.min())


def edit_distances(pattern: Sequence[int], text: Sequence[int]) -> np.ndarray:
    """Levenshtein distance of `pattern` to every prefix of `text` `(len(text) + 1,)`."""
    row = np.arange(len(text) + 1)
    for i, symbol in enumerate(pattern, start=1):
        above, row = row, np.empty_like(row)
        row[0] = i
        for j, other in enumerate(text, start=1):
            row[j] = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (symbol != other))
    return row
