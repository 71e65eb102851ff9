"""Faults planted into training rows, so that a demonstration or test knows who should rank last."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from unshapley.config import FaultSettings
from unshapley.data.splits import generator
from unshapley.data.tables import Schema
from unshapley.errors import InputError


def plant(
    partitions: Mapping[str, pd.DataFrame], faults: FaultSettings, schema: Schema, seed: int
) -> dict[str, pd.DataFrame]:
    """Partitions with `faults` planted; those of other providers are untouched.

    Raises `InputError` for a fault of a provider that does not exist.
    """
    for kind, planted in faults.model_dump().items():
        for provider in [*planted, *(planted.values() if kind == "duplicate" else [])]:
            if provider not in partitions:
                raise InputError(
                    f"faults.{kind} names the unknown provider {provider!r}",
                    expected=f"one of {', '.join(sorted(partitions))}",
                )
    out = dict(partitions)
    for provider, original in faults.duplicate.items():
        out[provider] = partitions[original].copy()
    for provider, share in faults.wrong_labels.items():
        out[provider] = wrong_labels(out[provider], share, schema, seed, provider)
    for provider, scale in faults.noise.items():
        out[provider] = noise(out[provider], scale, schema, seed, provider)
    return out


def wrong_labels(
    frame: pd.DataFrame, share: float, schema: Schema, seed: int, provider: str
) -> pd.DataFrame:
    """Give a random `share` of the rows a uniformly drawn other class, or each other's number."""
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
    """Add Gaussian noise of `scale` standard deviations to every feature, kept within its range."""
    rng = generator(seed, "noise", provider)
    features = frame[list(schema.features)]
    values = features.to_numpy(dtype=float)
    noisy = values + rng.normal(size=values.shape) * scale * values.std()
    out = frame.copy()
    out[list(schema.features)] = noisy.clip(values.min(), values.max())
    return out
