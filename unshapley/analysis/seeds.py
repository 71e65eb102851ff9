"""Combine the values of several pretrained models: how far do values depend on the seed?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import special

from unshapley.errors import InputError
from unshapley.project import Project
from unshapley.results.published import Published, read_table

MODEL_FILES = ("data/model/", "data/curvature/")
"""Inputs that may differ between models of the same data."""


def across_seeds(tables: Sequence[pd.DataFrame], keys: Sequence[str], name: str) -> pd.DataFrame:
    """The mean of the column `name` over k models, with its error; one row for each of `keys`.

    Columns: `name, std_error, ci_low, ci_high, within_error, seeds_error`. within_error: root mean
    square of the models' own standard errors; averaging does not lower it, because the models share
    the test set and most coalitions. seeds_error: standard deviation between the models / √k; the
    interval multiplies it by Student's quantile for k − 1. The squares of both are added.
    """
    k = len(tables)
    estimates = np.array([table[name] for table in tables])
    errors = np.array([table["std_error"] for table in tables])
    half_widths = np.array([(table["ci_high"] - table["ci_low"]) / 2 for table in tables])
    mean, between = estimates.mean(axis=0), estimates.std(axis=0, ddof=1) / np.sqrt(k)
    within = np.sqrt((errors**2).mean(axis=0))
    quantile = special.stdtrit(k - 1, 0.975)
    width = np.sqrt((half_widths**2).mean(axis=0) + (quantile * between) ** 2)
    columns = {
        name: mean,
        "std_error": np.hypot(within, between),
        "ci_low": mean - width,
        "ci_high": mean + width,
        "within_error": within,
        "seeds_error": between,
    }
    return pd.concat([tables[0][[*keys]], pd.DataFrame(columns)], axis=1)


def combined(
    projects: Sequence[Project], published: Sequence[Published]
) -> dict[str, pd.DataFrame]:
    """Mean values and differences over published valuations of several models of the same data.

    Raises `InputError` for fewer than two valuations, for valuations of different data, settings or
    players, and for two valuations of the same model.
    """
    if len(projects) < 2:
        raise InputError("one valuation has no spread", expected="two or more, of different models")
    for project, other in zip(projects[1:], published[1:], strict=True):
        _check_same(project, published[0], other)
    _check_models(projects, published)
    values = [read_table(project, "values.csv") for project in projects]
    valued = [table[table["status"] == "valued"].reset_index(drop=True) for table in values]
    means = across_seeds(valued, ["provider", "rows"], "value")
    means["rank"] = means["value"].rank(ascending=False, method="first").astype(int)
    pairs = [read_table(project, "differences.csv") for project in projects]
    differences = across_seeds(pairs, ["provider", "other"], "difference")
    return {"values": means, "differences": differences}


def _check_same(project: Project, first: Published, other: Published) -> None:
    expected, manifest = first.manifest, other.manifest
    for what in ("players", "quarantined", "unlearner"):
        if expected[what] != manifest[what]:
            raise _differs(project, f"{what}: {manifest[what]} here, {expected[what]} in the first")
    if first.utility != other.utility:
        raise _differs(project, f"the utility: {other.utility} here, {first.utility} in the first")
    inputs, expected_inputs = manifest["inputs"], expected["inputs"]
    paths = {path for path in {*inputs, *expected_inputs} if not path.startswith(MODEL_FILES)}
    changed = sorted(path for path in paths if inputs.get(path) != expected_inputs.get(path))
    if changed:
        raise _differs(project, f"what it was computed from: {', '.join(changed[:3])}")


def _differs(project: Project, what: str) -> InputError:
    return InputError(
        f"not a valuation of the same game; it differs in {what}",
        where=project.valuation / "manifest.json",
        expected="the same data, players, unlearner and utility, and another pretrain.seed",
    )


def _check_models(projects: Sequence[Project], published: Sequence[Published]) -> None:
    by_checkpoint: dict[str, Project] = {}
    for project, valuation in zip(projects, published, strict=True):
        checkpoint = valuation.manifest["inputs"]["data/model/checkpoint.safetensors"]
        if checkpoint in by_checkpoint:
            raise InputError(
                f"its model is the one of {by_checkpoint[checkpoint].root}",
                where=project.root,
                expected="models of different pretrain.seed",
                do="set pretrain.seed there, then run `unshapley pretrain` and `unshapley run`",
            )
        by_checkpoint[checkpoint] = project
