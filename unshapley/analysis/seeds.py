"""Values over several pretrained models: what of them hangs on the seed of one training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from unshapley.errors import InputError
from unshapley.project import Project
from unshapley.results.published import Published, read_table

MODEL_FILES = ("data/model/", "data/curvature/")
"""Inputs that differ between models of the same data."""


def across_seeds(tables: Sequence[pd.DataFrame], keys: Sequence[str], name: str) -> pd.DataFrame:
    """The mean of the column `name` over models, with its error, a row for each of `keys`.

    Gives `name, std_error, ci_low, ci_high, within_error, seeds_error`. within_error: root mean
    square of the models' own standard errors, which averaging does not lower, as they share test
    set and mostly coalitions; seeds_error: standard deviation between k models over √k, of which
    the interval takes Student's quantile of k − 1. Both are added as squares.
    """
    k = len(tables)
    found = np.array([table[name] for table in tables])
    own = np.array([table["std_error"] for table in tables])
    half = np.array([(table["ci_high"] - table["ci_low"]) / 2 for table in tables])
    mean, between = found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(k)
    within = np.sqrt((own**2).mean(axis=0))
    quantile = stats.t.ppf(0.975, k - 1)
    width = np.sqrt((half**2).mean(axis=0) + (quantile * between) ** 2)
    columns = {
        name: mean,
        "std_error": np.hypot(within, between),
        "ci_low": mean - width,
        "ci_high": mean + width,
        "within_error": within,
        "seeds_error": between,
    }
    return pd.concat([tables[0][[*keys]], pd.DataFrame(columns)], axis=1)


def combined(places: Sequence[Project], published: Sequence[Published]) -> dict[str, pd.DataFrame]:
    """Values and differences over the published valuations of several models of the same data.

    Raises `InputError` for fewer than two, for valuations of other data, settings or players, and
    for a model that is there twice.
    """
    if len(places) < 2:
        raise InputError("one valuation has no spread", expected="two or more, of different models")
    for place, other in zip(places[1:], published[1:], strict=True):
        _check_same(place, published[0], other)
    _check_models(places, published)
    values = [read_table(place, "values.csv") for place in places]
    valued = [table[table["status"] == "valued"].reset_index(drop=True) for table in values]
    over = across_seeds(valued, ["provider", "rows"], "value")
    over["rank"] = over["value"].rank(ascending=False, method="first").astype(int)
    pairs = [read_table(place, "differences.csv") for place in places]
    return {"values": over, "differences": across_seeds(pairs, ["provider", "other"], "difference")}


def _check_same(place: Project, first: Published, other: Published) -> None:
    a, b = first.manifest, other.manifest
    for what in ("players", "quarantined", "unlearner"):
        if a[what] != b[what]:
            raise _differs(place, f"{what}: {b[what]} here, {a[what]} in the first")
    if first.utility != other.utility:
        raise _differs(place, f"the utility valued: {other.utility}, not {first.utility}")
    paths = {p for p in a["inputs"].keys() | b["inputs"] if not p.startswith(MODEL_FILES)}
    changed = sorted(p for p in paths if a["inputs"].get(p) != b["inputs"].get(p))
    if changed:
        raise _differs(place, f"what it was computed from: {', '.join(changed[:3])}")


def _differs(place: Project, what: str) -> InputError:
    return InputError(
        f"not a valuation of the same game; it differs in {what}",
        where=place.valuation / "manifest.json",
        expected="the same data, players, unlearner and utility, and another pretrain.seed",
    )


def _check_models(places: Sequence[Project], published: Sequence[Published]) -> None:
    seen: dict[str, Project] = {}
    for place, one in zip(places, published, strict=True):
        checkpoint = one.manifest["inputs"]["data/model/checkpoint.safetensors"]
        if checkpoint in seen:
            raise InputError(
                f"its model is the one of {seen[checkpoint].root}",
                where=place.root,
                expected="models of different pretrain.seed",
                do="set pretrain.seed there, then run `unshapley pretrain` and `unshapley run`",
            )
        seen[checkpoint] = place
