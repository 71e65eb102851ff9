"""Providers whose rows look unlike those of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

FAR = 1.0
"""Difference of means, in standard deviations of all rows, from which a provider is told."""
NAMED = 3
"""Features that are named of a provider."""


def drifting(tables: Mapping[str, pd.DataFrame], features: Sequence[str]) -> dict[str, str]:
    """By provider: the features whose mean is `FAR` from that of all other providers' rows, the
    furthest first, in words. A low value of such a provider may come of other conditions, not of
    poor rows.
    """
    names = list(features)
    numbers = {provider: table[names].to_numpy(dtype=float) for provider, table in tables.items()}
    counts = {provider: (~np.isnan(x)).sum(axis=0) for provider, x in numbers.items()}
    sums = {provider: np.nansum(x, axis=0) for provider, x in numbers.items()}
    count, total = sum(counts.values()), sum(sums.values())
    squares = sum(np.nansum(x**2, axis=0) for x in numbers.values())
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = np.sqrt(np.clip(squares / count - (total / count) ** 2, 0, None))
        found = {}
        for provider in numbers:
            own = sums[provider] / counts[provider]
            others = (total - sums[provider]) / (count - counts[provider])
            distance = np.nan_to_num((own - others) / deviation, posinf=0, neginf=0)
            order = np.argsort(-np.abs(distance), kind="stable")
            far = [i for i in order if abs(distance[i]) >= FAR]
            if far:
                shown = ", ".join(f"{names[i]} {distance[i]:+.1f}" for i in far[:NAMED])
                more = f" and {len(far) - NAMED} more" if len(far) > NAMED else ""
                found[provider] = shown + more
    return found
