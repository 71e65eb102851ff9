"""Providers unlike the others."""

import numpy as np
import pandas as pd

from unshapley.data.drift import drifting


def test_the_furthest_features_are_named_and_gaps_do_not_count():
    rng = np.random.default_rng(0)
    tables = {
        name: pd.DataFrame(rng.normal(size=(200, 3)), columns=["a", "b", "c"])
        for name in ("north", "south", "west")
    }
    tables["west"] += [0.0, 4.0, -8.0]
    tables["north"].loc[:150, "a"] = np.nan
    tables["south"]["constant"] = tables["north"]["constant"] = tables["west"]["constant"] = 1.0
    found = drifting(tables, ["a", "b", "c", "constant"])
    assert found["west"].startswith("c -2.")
    assert "b +" in found["west"]
    assert "a " not in found["west"]
    assert "constant" not in " ".join(found.values())


def test_providers_alike_are_not_named():
    rng = np.random.default_rng(0)
    tables = {n: pd.DataFrame(rng.normal(size=(50, 40))) for n in ("north", "south")}
    assert drifting(tables, range(40)) == {}
