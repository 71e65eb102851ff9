"""A utility of one's own: the share of sick patients that are found.

unshapley init my-data --set 'valuation.utilities=["examples.own_utility:sensitivity"]'
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sensitivity(y_true: NDArray[np.int64], y_score: NDArray[np.float64]) -> float:
    """Share of the rows of class 1 whose most probable class is 1; higher is better.

    y_true: class codes `(rows,)`; y_score: probabilities `(rows, classes)`.
    """
    sick = y_true == 1
    if not sick.any():
        return 0.0
    return float((y_score[sick].argmax(axis=1) == 1).mean())
