"""Faults planted into the rows of providers, so that it is known which should rank last.

They are planted before rows are split, as faults of real providers are: where such a provider gives
test rows, they have the fault too.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from unshapley.config import FaultSettings
from unshapley.data.splits import generator
from unshapley.data.tables import Schema
from unshapley.data.windows import BODY, DOCUMENT
from unshapley.errors import InputError

CHARACTERS = list(string.ascii_letters + string.digits + string.punctuation + " \n")
"""What garbage consists of."""


def plant(
    tables: Mapping[str, pd.DataFrame], faults: FaultSettings, schema: Schema, seed: int
) -> dict[str, pd.DataFrame]:
    """Rows by provider with `faults` planted; those of other providers are unchanged.

    Raises `InputError` for a fault of a provider that does not exist, one of text, and for noise in
    columns of text.
    """
    _check(tables, faults, refused=("garbage",), problem="only text has such a fault")
    out = dict(tables)
    for provider, original in faults.duplicate.items():
        out[provider] = tables[original].copy()
    for provider, share in faults.wrong_labels.items():
        out[provider] = wrong_labels(out[provider], share, schema, seed, provider)
    for provider, scale in faults.noise.items():
        out[provider] = noise(out[provider], scale, schema, seed, provider)
    return out


def plant_text(
    tables: Mapping[str, pd.DataFrame], faults: FaultSettings, seed: int
) -> dict[str, pd.DataFrame]:
    """Documents by provider with `faults` planted; those of other providers are unchanged.

    A copied document is called by its new and its former provider. Raises `InputError` for a fault
    of a provider that does not exist, or one that text has not.
    """
    refused = ("wrong_labels", "noise")
    _check(tables, faults, refused, problem="text has no such fault")
    out = dict(tables)
    for provider, original in faults.duplicate.items():
        copy = tables[original]
        out[provider] = copy.assign(**{DOCUMENT: f"{provider}:" + copy[DOCUMENT]})
    for provider, share in faults.garbage.items():
        out[provider] = garbage(out[provider], share, seed, provider)
    return out


def garbage(frame: pd.DataFrame, share: float, seed: int, provider: str) -> pd.DataFrame:
    """Replace the text of a random `share` of documents by random characters, as many as it has."""
    rng = generator(seed, "garbage", provider)
    rows = rng.choice(len(frame), size=round(share * len(frame)), replace=False)
    texts = frame[BODY].to_numpy(dtype=object, copy=True)
    for row in np.sort(rows):
        texts[row] = "".join(rng.choice(CHARACTERS, size=len(texts[row])))
    return frame.assign(**{BODY: texts})


def _check(
    tables: Mapping[str, pd.DataFrame], faults: FaultSettings, refused: Sequence[str], problem: str
) -> None:
    for kind, by_provider in faults.model_dump().items():
        if by_provider and kind in refused:
            raise InputError(problem, where=f"faults.{kind}", do="leave it out: {}")
        originals = by_provider.values() if kind == "duplicate" else []
        for provider in [*by_provider, *originals]:
            if provider not in tables:
                raise InputError(
                    f"faults.{kind} names the unknown provider {provider!r}",
                    expected=f"one of {', '.join(sorted(tables))}",
                )


def wrong_labels(
    frame: pd.DataFrame, share: float, schema: Schema, seed: int, provider: str
) -> pd.DataFrame:
    """Replace the labels of a random `share` of rows by another class; permute numeric labels."""
    rng = generator(seed, "wrong_labels", provider)
    rows = rng.choice(len(frame), size=round(share * len(frame)), replace=False)
    labels = frame[schema.label].to_numpy(copy=True)
    if schema.task == "regression":
        labels[rows] = rng.permutation(labels[rows])
        return frame.assign(**{schema.label: labels})
    shift = rng.integers(1, len(schema.classes), size=len(rows))
    labels[rows] = (labels[rows] + shift) % len(schema.classes)
    return frame.assign(**{schema.label: labels})


def noise(
    frame: pd.DataFrame, scale: float, schema: Schema, seed: int, provider: str
) -> pd.DataFrame:
    """Add Gaussian noise to all features and clip them to their joint range.

    scale: standard deviation of the noise, in standard deviations of all features together.
    """
    rng = generator(seed, "noise", provider)
    features = frame[list(schema.features)]
    _check_numbers(features)
    values = features.to_numpy(dtype=float)
    noisy = values + rng.normal(size=values.shape) * scale * np.nanstd(values)
    out = frame.copy()
    out[list(schema.features)] = noisy.clip(np.nanmin(values), np.nanmax(values))
    return out


def _check_numbers(features: pd.DataFrame) -> None:
    """Raise `InputError` for texts that become numbers only when the reference set is drawn."""
    texts = features.select_dtypes("category").columns
    if len(texts):
        raise InputError(
            f"column {texts[0]!r} is weighted by the words of the reference set, which is drawn "
            "after faults are planted",
            where="faults.noise",
            expected="numbers, to which noise can be added",
            do=f"plant wrong labels, or hash its words: prepare.columns: {{{texts[0]}: text}}",
        )
