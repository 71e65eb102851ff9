"""How newton scales: CPU time with the training rows, memory with the coalitions.

Run as a script it measures the memory of one fresh process and prints it as JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from speed_data import CHUNK, RECIPE, UTILITIES, add_statistics, make_game, split_digits
from speed_rows import Row, best, spent

from unshapley.game.coalitions import Coalitions, chunks
from unshapley.game.game import Game
from unshapley.game.measuring import measure
from unshapley.game.utilities import build_utilities
from unshapley.unlearning.newton import NewtonUnlearner

FEW_STEPS = RECIPE.model_copy(update={"steps": 20})
"""Quality is irrelevant here."""
MEMORY_PROVIDERS = 20
REPEATS = 3


@dataclass(frozen=True)
class Memory:
    """A row, and how far its peak lies above that of the first chunk."""

    row: Row
    growth_mb: float


def scale_rows(sizes: Sequence[int], coalitions: int) -> list[Row]:
    """For each number of training rows: the statistics, then newton on so many coalitions.

    Newton's sizes are measured in turns, and the best of three stands.
    """
    plan = random_coalitions(coalitions, 10, seed=0)
    statistics, games = [], []
    for rows in sizes:
        split = split_digits(10, rows)
        game = make_game(split, FEW_STEPS)
        with spent() as cost:
            games.append(add_statistics(game, split))
        statistics.append(cost.row("unshapley statistics, once", 1, 10, rows, 0))
    turns = [[newton_row(game, plan) for game in games] for _ in range(REPEATS)]
    newton = [best([turn[i] for turn in turns]) for i in range(len(games))]
    return [row for pair in zip(statistics, newton, strict=True) for row in pair]


def newton_row(game: Game, plan: Coalitions) -> Row:
    """The row of newton on one thread, chunk by chunk; what is returned is dropped."""
    measure(game, NewtonUnlearner(), plan[:CHUNK], build_utilities(UTILITIES))
    with spent() as cost:
        for part in chunks(plan, CHUNK):
            measure(game, NewtonUnlearner(), part, build_utilities(UTILITIES))
    rows = len(game.pretrained.rows.y)
    return cost.row("unshapley newton, by rows", 1, len(game.players), rows, len(plan))


def scale_coalitions(counts: Sequence[int]) -> list[Memory]:
    """Peak memory of newton on so many coalitions of 20 providers, a fresh process each."""
    found = []
    for coalitions in counts:
        command = [sys.executable, __file__, "--coalitions", str(coalitions)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        measured = json.loads(done.stdout.splitlines()[-1])
        found.append(Memory(Row(**measured["row"]), measured["growth_mb"]))
    return found


def random_coalitions(count: int, n: int, seed: int) -> Coalitions:
    """Coalitions of all sizes `(count, n)`, none of them empty."""
    rng = np.random.default_rng(seed)
    order = rng.random((count, n)).argsort(axis=1)
    return order < rng.integers(1, n, size=(count, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--coalitions", type=int, required=True)
    count = parser.parse_args().coalitions
    split = split_digits(MEMORY_PROVIDERS)
    game = add_statistics(make_game(split, FEW_STEPS), split)
    utilities = np.empty((count, len(UTILITIES)))

    def run(begin: int, end: int) -> None:
        part = random_coalitions(end - begin, MEMORY_PROVIDERS, seed=begin)
        found = measure(game, NewtonUnlearner(), part, build_utilities(UTILITIES))
        utilities[begin:end] = np.array([found[name] for name in UTILITIES]).T

    run(0, min(CHUNK, count))
    with spent() as first:
        run(0, min(CHUNK, count))
    with spent() as cost:
        for begin in range(0, count, CHUNK):
            run(begin, min(begin + CHUNK, count))
    row = cost.row("unshapley newton, by coalitions", 1, MEMORY_PROVIDERS, split.rows, count)
    print(json.dumps({"row": vars(row), "growth_mb": row.peak_mb - first.peak_mb}))


if __name__ == "__main__":
    main()
