"""The removal curve of a valuation, from what was measured: does the utility follow the values?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from unshapley.estimators.base import Floats
from unshapley.estimators.completion import completed
from unshapley.game.removals import LEAST, MOST, removal_orders, removals
from unshapley.results.valuation import Valuation

RANDOM_ORDERS = 20
RANDOM_MEAN = "random_mean"


def removal_table(valuation: Valuation) -> pd.DataFrame:
    """plots/removal.csv: `order, step, provider, utility, measured`: the utility after each removal
    of a provider, the most valuable first, the least valuable first, and the mean of random orders.

    step 0 is before the first removal. measured: share of the utilities behind an entry that were
    measured; the Gaussian process predicts the others. `unshapley curves` retrains instead.
    """
    plan, table, n = valuation.plan, valuation.table, len(valuation.players)
    orders = removal_orders([*valuation.estimate.value], RANDOM_ORDERS, 0)
    utilities, measured = completed(plan, table, np.vstack([removals(o) for o in orders.values()]))
    lines = dict(zip(orders, utilities.reshape(-1, n + 1), strict=True))
    known = dict(zip(orders, measured.reshape(-1, n + 1).astype(float), strict=True))
    parts = []
    for name in (MOST, LEAST):
        removed = ["", *(valuation.players[i] for i in orders[name])]
        parts.append(_rows(name, removed, lines.pop(name), known.pop(name)))
    means = np.mean([*lines.values()], axis=0), np.mean([*known.values()], axis=0)
    return pd.concat([*parts, _rows(RANDOM_MEAN, [""] * (n + 1), *means)], ignore_index=True)


def _rows(order: str, removed: list[str], utility: Floats, measured: Floats) -> pd.DataFrame:
    columns = {"provider": removed, "utility": utility, "measured": measured}
    return pd.DataFrame({"order": order, "step": range(len(removed)), **columns})
