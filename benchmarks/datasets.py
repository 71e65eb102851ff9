"""The data that fidelity.py measures on, and how each is trained on: real rows by provider, and
five sets made for what those do not show.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes, load_digits

from unshapley.config import CurvatureSettings, PretrainSettings
from unshapley.curvature.statistics import with_statistics
from unshapley.data.digits import load_forms
from unshapley.data.splits import split
from unshapley.game.game import Game
from unshapley.models.fitting import fit
from unshapley.models.rows import Rows

HOSPITALS = ("cleveland", "hungarian", "switzerland", "va")
Array = NDArray[np.generic]


@dataclass(frozen=True)
class Dataset:
    """Rows of every provider, the reference set and the test set, and how they are trained on.

    outputs: of the model; budget: most coalitions of the plan; pairs: targets of partial games, by
    provider index; label: mean and scale by which a number was standardised.
    """

    name: str
    partitions: Mapping[str, Rows]
    reference: Rows
    test: Rows
    outputs: int
    recipe: PretrainSettings
    budget: int
    pairs: tuple[tuple[int, int], ...]
    utility: str = "neg_log_loss"
    label: tuple[float, float] = (0.0, 1.0)

    @property
    def providers(self) -> tuple[str, ...]:
        return tuple(self.partitions)

    def game(self, seed: int, *, statistics: bool = True) -> Game:
        """Pretrain with that seed; statistics: also what newton and the like need."""
        recipe = self.recipe.model_copy(update={"seed": seed})
        pretrained = fit(recipe, self.partitions, self.reference, outputs=self.outputs)
        if statistics:
            pretrained = with_statistics(pretrained, self.partitions, CurvatureSettings())
        pretrained = replace(pretrained, test=self.test)
        return Game(self.providers, self.providers, pretrained, *self.test, *self.label)

    def key(self) -> str:
        """Hex SHA-256 of all rows and names, without the recipe."""
        found = hashlib.sha256()
        for name, (x, y) in [*self.partitions.items(), ("r", self.reference), ("t", self.test)]:
            found.update(f"{name} {tuple(x.shape)}".encode())
            found.update(x.numpy().tobytes() + y.numpy().tobytes())
        return found.hexdigest()


def digits_forms() -> Dataset:
    """Digits by the form they were written on: 14 natural providers, about 90 rows each."""
    splits = {p: split(f, p, test=0.2, reference=0.1, seed=0) for p, f in load_forms().items()}
    return Dataset(
        "digits-forms",
        {p: _digits(s.train) for p, s in splits.items()},
        _digits(pd.concat([s.reference for s in splits.values()])),
        _digits(pd.concat([s.test for s in splits.values()])),
        10,
        PretrainSettings(kwargs={"hidden": [32]}, steps=300, learning_rate=0.01, weight_decay=0.01),
        600,
        ((0, 1), (4, 9), (8, 12)),
    )


def digits_uneven() -> Dataset:
    """Digits among ten providers of 2 : 2 : 3 : 3 : 4 : 4 : 5 : 5 : 6 : 6 rows: p06 with noise of
    four standard deviations on its pixels (clipped), p07 with 60 % and p04 with 30 % wrong labels.
    """
    bunch, rng = load_digits(), np.random.default_rng(123)
    order = rng.permutation(len(bunch.target))
    x, y = bunch.data[order].astype(np.float32), bunch.target[order].astype(np.int64)
    test, reference = (x[:360], y[:360]), (x[360:540], y[360:540])
    x, y = x[540:].copy(), y[540:].copy()
    share = np.array([2, 2, 3, 3, 4, 4, 5, 5, 6, 6]) / 40
    cuts = np.cumsum(np.round(share * len(x)).astype(int))[:-1]
    own = np.split(np.arange(len(x)), cuts)
    for provider, wrong in ((7, 0.6), (4, 0.3)):
        chosen = rng.choice(own[provider], int(wrong * len(own[provider])), replace=False)
        y[chosen] = (y[chosen] + rng.integers(1, 10, len(chosen))) % 10
    noise = 4 * x.std(axis=0) * rng.standard_normal(x[own[6]].shape)
    x[own[6]] = np.clip(x[own[6]] + noise, 0, 16)
    return Dataset(
        "digits-uneven",
        {f"p{i:02d}": _tensors(x[rows], y[rows]) for i, rows in enumerate(own)},
        _tensors(*reference),
        _tensors(*test),
        10,
        PretrainSettings(kwargs={"hidden": [32]}, steps=300, learning_rate=0.01, weight_decay=0.01),
        1022,
        ((0, 9), (6, 8), (3, 7)),
    )


def digits_copies() -> Dataset:
    """Digits among ten providers: p08 holds all rows of p00, p09 half of those of p01 and of p02.

    The others hold different rows, as many as one another.
    """
    bunch = load_digits()
    order = np.random.default_rng(321).permutation(len(bunch.target))
    x, y = bunch.data[order].astype(np.float32), bunch.target[order].astype(np.int64)
    own = np.array_split(np.arange(540, len(x)), 8)
    own += [own[0], np.concatenate([own[1][::2], own[2][::2]])]
    return Dataset(
        "digits-copies",
        {f"p{i:02d}": _tensors(x[rows], y[rows]) for i, rows in enumerate(own)},
        _tensors(x[360:540], y[360:540]),
        _tensors(x[:360], y[:360]),
        10,
        PretrainSettings(kwargs={"hidden": [32]}, steps=300, learning_rate=0.01, weight_decay=0.01),
        600,
        ((0, 8), (1, 9), (3, 7)),
    )


def heart() -> Dataset:
    """Heart disease by hospital: 4 natural providers, of whom one has hardly a healthy patient.

    Gaps become the median of the column over all hospitals' reference rows; what is often missing
    also gets a column that says so. A cholesterol of 0 is missing.
    """
    splits = {h: split(_hospital(h), h, test=0.25, reference=0.1, seed=0) for h in HOSPITALS}
    reference = pd.concat([s.reference for s in splits.values()])
    median = reference.drop(columns="target").median()

    def rows(frame: pd.DataFrame) -> Rows:
        features = frame.drop(columns="target")
        gaps = features[["ca", "slope", "thal", "chol", "trestbps"]].isna()
        x = np.hstack([features.fillna(median).to_numpy(), gaps.to_numpy()]).astype(np.float32)
        return _tensors(x, (frame["target"] > 0).to_numpy().astype(np.int64))

    return Dataset(
        "heart",
        {h: rows(s.train) for h, s in splits.items()},
        rows(reference),
        rows(pd.concat([s.test for s in splits.values()])),
        2,
        PretrainSettings(kwargs={"hidden": [16]}, steps=300, learning_rate=0.01, weight_decay=0.05),
        14,
        ((0, 1), (0, 3), (2, 3)),
    )


def diabetes() -> Dataset:
    """Progression of diabetes, a number, from ten features: 8 providers by age, youngest first."""
    bunch = load_diabetes()
    x, y = bunch.data.astype(np.float32), bunch.target
    order = np.random.default_rng(123).permutation(len(y))
    test, reference, rest = order[:110], order[110:154], order[154:]
    rest = rest[np.argsort(x[rest, 0], kind="stable")]
    mean, scale = float(y[rest].mean()), float(y[rest].std())
    y = ((y - mean) / scale).astype(np.float32)
    blocks = np.array_split(rest, 8)
    return Dataset(
        "diabetes",
        {f"age-{i}": _tensors(x[rows], y[rows]) for i, rows in enumerate(blocks)},
        _tensors(x[reference], y[reference]),
        _tensors(x[test], y[test]),
        1,
        PretrainSettings(kwargs={"hidden": [16]}, steps=300, learning_rate=0.01, weight_decay=0.05),
        254,
        ((0, 7), (1, 4), (3, 6)),
        "neg_mse",
        (mean, scale),
    )


def with_cnn(dataset: Dataset) -> Dataset:
    """The same rows with the small convolutional network; fewer coalitions, as each costs more."""
    recipe = PretrainSettings(
        architecture="unshapley.models:cnn",
        kwargs={"channels": [2, 4]},
        steps=160,
        learning_rate=0.02,
        weight_decay=0.01,  # with less of it the seeds disagree, trained longer or not
    )
    name, budget = f"{dataset.name}-cnn", min(dataset.budget, 120)
    return replace(dataset, name=name, recipe=recipe, budget=budget)


def stations() -> Dataset:
    """A number from six features, seen by 12 stations at the same 60 times with noise of their own:
    all are alike, so that none is missed, but for one whose readings are off by a constant.
    """
    rng = np.random.default_rng(7)
    times = rng.standard_normal((240, 6)).astype(np.float32)
    y = np.sin(times[:, 0]) + 0.5 * times[:, 1] * times[:, 2] - 0.7 * times[:, 3]
    mean, scale = float(y[:60].mean()), float(y[:60].std())

    def readings(rows: slice, noise: float, offset: float = 0.0) -> Rows:
        seen = times[rows] + noise * rng.standard_normal(times[rows].shape)
        label = (y[rows] + offset + 0.3 * rng.standard_normal(len(y[rows])) - mean) / scale
        return _tensors(seen.astype(np.float32), label.astype(np.float32))

    return Dataset(
        "stations",
        {f"s{i:02d}": readings(slice(60), 0.3, 1.0 if i == 7 else 0.0) for i in range(12)},
        readings(slice(60, 100), 0.3),
        readings(slice(100, 240), 0.3),
        1,
        PretrainSettings(kwargs={"hidden": [16]}, steps=300, learning_rate=0.01, weight_decay=0.01),
        600,
        ((0, 1), (3, 7), (5, 11)),
        "neg_mse",
        (mean, scale),
    )


def many() -> Dataset:
    """Five classes around centres that differ a little by provider: 36 providers of 20 to 270
    rows.
    """
    rng = np.random.default_rng(11)
    centres = 1.2 * rng.standard_normal((5, 20))

    def rows(count: int, shift: float) -> Rows:
        label = rng.integers(5, size=count)
        own = centres + shift * rng.standard_normal(centres.shape)
        return _floats(own[label] + 1.5 * rng.standard_normal((count, 20)), label)

    counts = np.linspace(20, 270, 36).round().astype(int)
    return Dataset(
        "many",
        {f"u{i:02d}": rows(int(count), 0.8) for i, count in enumerate(counts)},
        rows(200, 0.0),
        rows(600, 0.0),
        5,
        PretrainSettings(kwargs={"hidden": [32]}, steps=200, learning_rate=0.01, weight_decay=0.01),
        400,
        ((0, 35), (10, 20), (30, 34)),
    )


def useless_and_harmful() -> Dataset:
    """Three classes, ten providers of 60 rows: `u` is noise with labels at random, `h` has every
    label moved to the next class.
    """
    rng = np.random.default_rng(13)
    centres = rng.standard_normal((3, 10))

    def rows(count: int, moved: int = 0) -> Rows:
        label = rng.integers(3, size=count)
        x = centres[label] + 1.2 * rng.standard_normal((count, 10))
        return _floats(x, (label + moved) % 3)

    partitions = {f"p{i}": rows(60) for i in range(8)}
    partitions["h"] = rows(60, moved=1)
    partitions["u"] = _floats(3 * rng.standard_normal((60, 10)), rng.integers(3, size=60))
    return Dataset(
        "useless-harmful",
        partitions,
        rows(90),
        rows(400),
        3,
        PretrainSettings(kwargs={"hidden": [16]}, steps=300, learning_rate=0.01, weight_decay=0.01),
        600,
        ((0, 1), (0, 8), (8, 9)),
    )


def logistic() -> Dataset:
    """A convex loss: logistic regression of two classes on eight features, by 8 providers whose
    inputs differ in their mean, trained until it has converged.
    """
    rng = np.random.default_rng(17)
    weights = rng.standard_normal(8)

    def rows(count: int, shift: float) -> Rows:
        x = rng.standard_normal((count, 8)) + shift * rng.standard_normal(8)
        return _floats(x, rng.random(count) < 1 / (1 + np.exp(-(x @ weights))))

    return Dataset(
        "logistic",
        {f"c{i}": rows(30 + 10 * i, 0.7) for i in range(8)},
        rows(60, 0.0),
        rows(400, 0.0),
        2,
        PretrainSettings(kwargs={"hidden": []}, steps=600, learning_rate=0.05, weight_decay=0.02),
        254,
        ((0, 7), (1, 4), (3, 6)),
    )


def unconverged() -> Dataset:
    """The digits by form, trained for 40 steps: far from a minimum."""
    recipe = PretrainSettings(kwargs={"hidden": [32]}, steps=40, learning_rate=0.01)
    return replace(digits_forms(), name="unconverged", recipe=recipe)


DATASETS: Mapping[str, Callable[[], Dataset]] = {
    "digits-forms": digits_forms,
    "digits-uneven": digits_uneven,
    "digits-copies": digits_copies,
    "heart": heart,
    "diabetes": diabetes,
    "digits-forms-cnn": lambda: with_cnn(digits_forms()),
    "digits-uneven-cnn": lambda: with_cnn(digits_uneven()),
    "stations": stations,
    "many": many,
    "useless-harmful": useless_and_harmful,
    "logistic": logistic,
    "unconverged": unconverged,
}


def _tensors(x: Array, y: Array) -> Rows:
    return torch.from_numpy(x.copy()), torch.from_numpy(y.copy())


def _floats(x: Array, y: Array) -> Rows:
    return _tensors(x.astype(np.float32), y.astype(np.int64))


def _digits(frame: pd.DataFrame) -> Rows:
    x = frame.drop(columns="label").to_numpy(np.float32)
    return _tensors(x, frame["label"].to_numpy(np.int64))


def _hospital(name: str) -> pd.DataFrame:
    """A hospital's rows as they were published, gaps as NaN; `FileNotFoundError` without them."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("UNSHAPLEY_TEST_DATA", beside)) / "heart_disease"
    frame = pd.read_csv(folder / f"processed.{name}.data", na_values=["?"]).astype(float)
    return frame.assign(chol=frame["chol"].replace(0.0, np.nan))
