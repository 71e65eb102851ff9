"""Does the fidelity check say what is true? Its intervals against errors known from retraining all.

`python benchmarks/gate_calibration.py [--only NAME]... [--draws 30] [--coalitions 8]`. Prints a
table: for every data set and unlearner the check is drawn `--draws` times, and each time states the
error of the values with a 90 % interval.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from datasets import DATASETS, Dataset
from numpy.typing import NDArray
from truth import available, fill, plan_of, retrained

from unshapley.environment import versions
from unshapley.estimators import Plan, estimate
from unshapley.fidelity.benchmark import CHUNK
from unshapley.fidelity.comparison import Retrained, UnlearnedValues, compare, unlearned_values
from unshapley.fidelity.implied import RANKED, ImpliedErrors, Interval, rank_correlation
from unshapley.game.coalitions import batches_by_size
from unshapley.game.game import Game
from unshapley.game.measuring import measure, measure_endpoints
from unshapley.game.utilities import build_utility
from unshapley.unlearning import Unlearner, build_unlearner
from unshapley.unlearning.none import NoUnlearning

UNLEARNERS = ("hybrid", "newton", "newton_finetune", "shrink_finetune", "finetune", "ridge_head",
              "gradient_ascent")  # fmt: skip
HEAD = ("dataset", "unlearner", "rel_l2", "stated", "covered", "Spearman", "stated", "covered",
        "other seed", "stated", "covered", "grades")  # fmt: skip
Floats = NDArray[np.float64]


class Figure(NamedTuple):
    """A true figure, and what was stated for it in every draw."""

    true: float
    stated: list[Interval]

    @property
    def covered(self) -> float:
        inside = [s.low - 1e-9 <= self.true <= s.high + 1e-9 for s in self.stated]
        return float(np.mean(inside))

    @property
    def cells(self) -> list[str]:
        mean = np.mean([s.expected for s in self.stated])
        return [f"{self.true:.3f}", f"{mean:.3f}", f"{self.covered:.2f}"]


class Line(NamedTuple):
    """A row of the table."""

    dataset: str
    unlearner: str
    rel_l2: Figure
    spearman: Figure | None
    other_seed: Figure
    grades: Counter[str]


def lines_of(dataset: Dataset, count: int, draws: int) -> list[Line]:
    games = [dataset.game(seed) for seed in range(2)]
    plan = plan_of(dataset)
    truth = [retrained(dataset, game, plan.coalitions) for game in games]
    none, full = ends_of(dataset, games[0])  # held, whatever the seed
    tables = [np.array([none, *utilities, full]) for utilities in truth]
    found = []
    for name in UNLEARNERS:
        game = games[0]
        fitted = build_unlearner(name).fitted(game.pretrained, game.staying(plan.coalitions))
        exact = fitted.exact(game.pretrained, game.staying(plan.coalitions)).numpy()
        if exact.all():
            print(f"{dataset.name}: {name} retrains every coalition")
            continue
        measured = np.array([none, *unlearned(dataset, game, fitted, plan), full])
        measured[1:-1][exact] = truth[0][exact]  # but for rounding it is that
        values = unlearned_values(game, fitted, exact, plan, measured, estimate(plan, measured))
        implied = [stated(values, tables, count, seed) for seed in range(draws)]
        found.append(line(dataset.name, name, values, tables, implied))
    return found


def ends_of(dataset: Dataset, game: Game) -> list[float]:
    """U(none) and U(all)."""
    measured = measure_endpoints(game, NoUnlearning(), [build_utility(dataset.utility)])
    return measured.utilities[dataset.utility]


def unlearned(dataset: Dataset, game: Game, unlearner: Unlearner, plan: Plan) -> Floats:
    """Utilities of the plan by unlearning `(m,)`."""
    out = np.empty(len(plan.coalitions))
    for batch in batches_by_size(plan.coalitions, CHUNK):
        part = measure(game, unlearner, plan.coalitions[batch], [build_utility(dataset.utility)])
        out[batch] = part[dataset.utility]
    return out


def stated(
    values: UnlearnedValues, tables: Sequence[Floats], count: int, seed: int
) -> ImpliedErrors:
    """What the check says that retrains `count` coalitions, drawn with this seed."""
    rows = values.drawn(seed)[:count]
    implied = compare(values, Retrained(rows, tables[0][rows], tables[1][rows]), seed).implied
    assert implied is not None
    return implied


def line(
    dataset: str,
    unlearner: str,
    values: UnlearnedValues,
    tables: Sequence[Floats],
    implied: Sequence[ImpliedErrors],
) -> Line:
    """The true figures, and what was stated."""
    true, other = (values.operator @ table for table in tables)
    size = np.linalg.norm(true)
    rank = None
    if len(true) >= RANKED:
        correlation = float(rank_correlation(values.value, true[None])[0])
        rank = Figure(correlation, [i.spearman for i in implied if i.spearman])
    return Line(
        dataset,
        unlearner,
        Figure(float(np.linalg.norm(values.value - true) / size), [i.rel_l2 for i in implied]),
        rank,
        Figure(
            float(np.linalg.norm(other - true) / size),
            [i.rel_l2_other_seed for i in implied if i.rel_l2_other_seed],
        ),
        Counter(i.grade for i in implied),
    )


def table(lines: Sequence[Line]) -> str:
    """Markdown, with the means over all rows last."""
    out = [f"| {' | '.join(HEAD)} |", f"|{' --- |' * len(HEAD)}"]
    for x in lines:
        rank = x.spearman.cells if x.spearman else ["–"] * 3
        grades = ", ".join(f"{n} {grade}" for grade, n in x.grades.most_common())
        cells = [x.dataset, x.unlearner, *x.rel_l2.cells, *rank, *x.other_seed.cells, grades]
        out.append(f"| {' | '.join(cells)} |")
    covered = [
        np.mean([figure.covered for figure in figures if figure])
        for figures in zip(*((x.rel_l2, x.spearman, x.other_seed) for x in lines), strict=True)
    ]
    means = "".join(f" | | | **{c:.3f}**" for c in covered)
    return "\n".join([*out, f"| all |{means[2:]} | |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=DATASETS, help="may be repeated")
    parser.add_argument("--draws", type=int, default=30)
    parser.add_argument("--coalitions", type=int, default=8, help="retrained by a check")
    parser.add_argument("--workers", type=int, default=1, help="processes that retrain")
    arguments = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores; {' '.join(sys.argv)}; "
        f"{', '.join(f'{k} {v}' for k, v in versions().items())}"
    )
    names = [*available(arguments.only or list(DATASETS))]
    fill(names, 2, arguments.workers)
    lines = [
        x
        for name in names
        for x in lines_of(DATASETS[name](), arguments.coalitions, arguments.draws)
    ]
    print(table(lines))


if __name__ == "__main__":
    main()
