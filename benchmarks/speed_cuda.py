"""The engine's rows on a CUDA device, where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from speed_data import RECIPE, Split, add_statistics, make_game, measure_all, split_digits
from speed_rows import Row, print_table, spent
from speed_scaling import random_coalitions

from unshapley.game.coalitions import chunks
from unshapley.game.game import Game
from unshapley.game.measuring import measure
from unshapley.game.utilities import build_utilities
from unshapley.unlearning import build_unlearner

SMALL = ("newton", "newton_finetune", "finetune", "retrain")
LARGE = ("newton", "finetune")
TEN_MILLION = {"hidden": [3072, 3072]}


def cuda_rows(device: str = "cuda") -> list[Row]:
    """The digits' model in chunks of 512, and one of 10 million weights in chunks of 16."""
    if device == "cuda" and not torch.cuda.is_available():
        print("\nno CUDA device: its rows are left out")
        return []
    split = split_digits(10)
    game = on_device(add_statistics(make_game(split), split), device)
    rows = device_rows(game, SMALL, 1024, 512, f"unshapley {{}}, {device}")
    recipe = RECIPE.model_copy(update={"kwargs": TEN_MILLION, "steps": 3})
    large = on_device(make_game(split, recipe), device)
    large = add_statistics(large, moved(split, device), directions=50)
    rows += device_rows(large, LARGE, 64, 16, f"unshapley {{}}, 10 M weights, {device}")
    print_table(f"on {device}", rows)
    return rows


def device_rows(
    game: Game, names: Sequence[str], coalitions: int, chunk: int, label: str
) -> list[Row]:
    """A row an unlearner, on random coalitions."""
    plan = random_coalitions(coalitions, len(game.players), seed=0)
    parts = chunks(plan[plan.sum(axis=1).argsort(kind="stable")], chunk)
    rows = []
    for name in names:
        unlearner = build_unlearner(name)
        measure(game, unlearner, parts[0][:2], build_utilities(("accuracy",)))
        with spent() as cost:
            measure_all(game, unlearner, parts, threads=1)
        count = len(game.pretrained.rows.y)
        rows.append(cost.row(label.format(name), 1, len(game.players), count, coalitions))
    return rows


def on_device(game: Game, device: str) -> Game:
    """The game with its tensors on a device."""
    return replace(
        game,
        pretrained=game.pretrained.to(device),
        test_x=game.test_x.to(device),
        test_y=game.test_y.to(device),
    )


def moved(split: Split, device: str) -> Split:
    """The rows on a device."""
    parts = {name: (x.to(device), y.to(device)) for name, (x, y) in split.partitions.items()}
    return replace(split, partitions=parts)
