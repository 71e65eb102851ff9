"""Which targets of the estimators are met."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from estimator_cells import Row

Cells = dict[tuple[str, int, int], list[Row]]
TARGETS = {(10, 128): 0.05, (20, 200): 0.10, (50, 1000): 0.10}
"""Largest relative error of `auto` by number of providers and budget."""
NEAR = 1.1


def print_verdicts(rows: Sequence[Row]) -> None:
    """What was met, with every cell in which it was not."""
    by_cell: Cells = defaultdict(list)
    for row in rows:
        by_cell[row.game, row.n, row.budget].append(row)
    auto = {key: one for key, found in by_cell.items() for one in found if one.estimator == "auto"}

    def judge(what: str, best: Callable[[Row], bool], factor: float) -> None:
        missed = []
        for key, own in auto.items():
            others = [one for one in by_cell[key] if best(one)]
            first = min(others, key=lambda one: one.rel_l2, default=own)
            if own.rel_l2 > factor * first.rel_l2 + 1e-12:
                said = f"{own.rel_l2:.4f}, {first.estimator} {first.rel_l2:.4f}"
                missed.append(f"{key[0]}, n {key[1]}, budget {key[2]}: {said}")
        _say(what, len(auto), missed)

    judge("auto is best or within 10 % of the best", lambda one: one.rel_l2 >= 0, NEAR)
    judge("auto is no worse than the best of shapiq", lambda one: one.library == "shapiq", 1.0)
    judge("auto is no worse than the best of pyDVL", lambda one: one.library == "pyDVL", 1.0)
    for (n, budget), most in TARGETS.items():
        there = {key: one for key, one in auto.items() if key[1:] == (n, budget)}
        missed = [f"{k[0]}: {o.rel_l2:.4f}" for k, o in there.items() if o.rel_l2 > most]
        _say(f"n = {n}, budget {budget}: rel_l2 of auto ≤ {most:.0%}", len(there), missed)


def _say(what: str, count: int, missed: Sequence[str]) -> None:
    if count:
        verdict = "missed" if missed else "met"
        print(f"{verdict}  {what}: {count - len(missed)} of {count} cells")
        for one in missed:
            print(f"    missed  {one}")
