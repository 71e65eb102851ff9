"""Games made in memory, for tests that need other models or other tasks than the small project."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_diabetes, load_digits

from unshapley.config import CurvatureSettings, PretrainSettings
from unshapley.curvature.statistics import with_statistics
from unshapley.curvature.text_store import with_text_statistics
from unshapley.data.windows import windows
from unshapley.game.coalitions import to_bits
from unshapley.game.game import Game
from unshapley.models.fitting import fit


def digits_game(providers: int = 3, hidden: Any = (8,), steps: int = 5, **recipe: Any) -> Game:
    """400 of scikit-learn's digits, dealt out in turn."""
    bunch = load_digits()
    x, y = torch.from_numpy(bunch.data[:400]).float(), torch.from_numpy(bunch.target[:400])
    kwargs = {} if "architecture" in recipe else {"kwargs": {"hidden": list(hidden)}}
    return _game(x, y, 10, providers, PretrainSettings(steps=steps, **kwargs, **recipe))


def diabetes_game(providers: int = 4, steps: int = 60) -> Game:
    """scikit-learn's diabetes: a number is predicted."""
    bunch = load_diabetes()
    x, y = torch.from_numpy(bunch.data).float(), torch.from_numpy(bunch.target).float()
    recipe = PretrainSettings(steps=steps, weight_decay=0.05, kwargs={"hidden": [8]})
    game = _game(x, (y - y.mean()) / y.std(), 1, providers, recipe)
    return replace(game, label_mean=float(y.mean()), label_scale=float(y.std()))


def _game(
    x: torch.Tensor, y: torch.Tensor, outputs: int, providers: int, recipe: PretrainSettings
) -> Game:
    test, reference, train = slice(0, 80), slice(80, 160), slice(160, None)
    x_train, y_train = x[train], y[train]
    owner = torch.arange(len(y_train)) % providers
    parts = {f"p{i}": (x_train[owner == i], y_train[owner == i]) for i in range(providers)}
    pretrained = fit(recipe, parts, (x[reference], y[reference]), outputs=outputs)
    pretrained = with_statistics(pretrained, parts, CurvatureSettings(directions=20))
    names = tuple(parts)
    return Game(names, names, replace(pretrained, test=(x[test], y[test])), x[test], y[test])


def to_masks(coalitions: np.ndarray) -> list[int]:
    """Each coalition as an integer whose bit i says whether provider i stays."""
    return [int(bits[::-1], 2) for bits in to_bits(coalitions)]


def from_masks(masks, n: int) -> np.ndarray:
    """The inverse of `to_masks` for n providers."""
    rows = [[mask >> i & 1 for i in range(n)] for mask in masks]
    return np.array(rows, dtype=bool).reshape(-1, n)


def text_game(providers: int = 4, steps: int = 30, vocabulary: int = 12, **recipe: Any) -> Game:
    """Sequences of a few repeated patterns, a pattern a provider; a tiny GPT predicts the next."""
    rng = np.random.default_rng(0)

    def documents(pattern: int, count: int) -> list[list[int]]:
        cycle = [1 + (pattern + 3 * k) % (vocabulary - 1) for k in range(5)]
        return [
            [t if rng.random() < 0.9 else int(rng.integers(1, vocabulary)) for t in cycle * 3]
            for _ in range(count)
        ]

    def rows(texts: list[list[int]]) -> Any:
        x, y = windows(texts, 8)
        return torch.from_numpy(x), torch.from_numpy(y)

    settings = PretrainSettings(
        architecture="unshapley.models:gpt",
        kwargs={"width": 8, "layers": 1, "heads": 2},
        steps=steps,
        **{"optimizer": "adamw", "learning_rate": 0.03, "batch_size": 8, **recipe},
    )
    parts = {f"p{i}": rows(documents(i, 4 + i)) for i in range(providers)}
    test = rows([text for i in range(providers) for text in documents(i, 3)])
    pretrained = fit(settings, parts, rows(documents(0, 3)), outputs=vocabulary)
    pretrained = with_text_statistics(replace(pretrained, test=test), parts)
    names = tuple(parts)
    return Game(names, names, pretrained, *test)
