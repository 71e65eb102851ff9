"""Removal and addition curves: is the order by value better than a random order?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from unshapley.game.coalitions import Coalitions, chunks, distinct, keys, to_bits
from unshapley.game.game import Game
from unshapley.game.measuring import measure, measure_endpoints
from unshapley.game.removals import LEAST, MOST, RANDOM, removal_orders, removals
from unshapley.game.utility import Utility
from unshapley.progress import Advance
from unshapley.unlearning import Unlearner

Floats = NDArray[np.float64]

REVERSED = {MOST: LEAST, LEAST: MOST}
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Curves:
    """Utility after each removal, for each order.

    orders: indices of players in the order of their removal; utilities: before the first removal
    and after each one, `(n + 1,)`. Removing in one order and adding in the reverse order pass
    through the same coalitions, so the addition curves are these curves read backwards.
    """

    players: tuple[str, ...]
    utility: str
    orders: Mapping[str, tuple[int, ...]]
    utilities: Mapping[str, Floats]

    def table(self) -> pd.DataFrame:
        """curves.csv: `direction, order, step, provider, coalition, utility`.

        direction: remove or add; step 0 is before the first change and has no provider.
        """
        parts = []
        for name, order in self.orders.items():
            bits, line = to_bits(removals(order)), self.utilities[name].tolist()
            providers = [self.players[i] for i in order]
            parts.append(_rows("remove", name, providers, bits, line))
            backwards = REVERSED.get(name, name)
            parts.append(_rows("add", backwards, providers[::-1], bits[::-1], line[::-1]))
        table = pd.concat(parts, ignore_index=True)
        return table.sort_values("direction", ascending=False, kind="stable", ignore_index=True)

    @cached_property
    def verdict(self) -> Verdict:
        """Areas between the curves by value and the mean curve of random orders."""
        areas = {name: area(line) for name, line in self.utilities.items()}
        random = [a for name, a in areas.items() if name.startswith(RANDOM)]
        mean, spread = float(np.mean(random)), float(np.std(random, ddof=1))
        return Verdict(self.utility, mean - areas[MOST], areas[LEAST] - mean, spread, len(random))


@dataclass(frozen=True)
class Verdict:
    """Whether the order by value differs from random ones, in units of the utility.

    most: mean utility over the steps of removal that is lost if the most valuable are removed
    first, compared with random orders; least: the mean utility that is gained if the least valuable
    are removed first; spread: standard deviation of the mean utility between random orders; random:
    number of random orders.
    """

    utility: str
    most: float
    least: float
    spread: float
    random: int

    @property
    def needed(self) -> float:
        """Area / spread that one more random order exceeds with probability 5 % (Student)."""
        quantile = float(special.stdtrit(self.random - 1, CONFIDENCE))
        return quantile * math.sqrt(1 + 1 / self.random)

    @property
    def ratios(self) -> tuple[float, float] | None:
        """Both areas divided by the spread; None if the random orders do not differ."""
        if self.spread <= 1e-9 * max(abs(self.most), abs(self.least), 1e-9):
            return None
        return self.most / self.spread, self.least / self.spread

    @property
    def finding(self) -> str:
        """`meaningful` if both ratios exceed `needed`, `partly` if one does, `random` if none
        does, `undecided` if the random orders do not differ.
        """
        if self.ratios is None:
            return "undecided"
        return ("random", "partly", "meaningful")[sum(r > self.needed for r in self.ratios)]

    def __str__(self) -> str:
        words = {
            "meaningful": "the values order the providers better than chance, from both ends",
            "partly": "the values order the providers better than chance from one end only",
            "random": "the order by value does not differ clearly from a random one",
            "undecided": "random orders do not differ, so no comparison is possible",
        }
        multiples = [f" ({ratio:.1f} × the spread)" for ratio in self.ratios or ()] or ["", ""]
        return (
            f"{words[self.finding]}: against {self.random} random orders, removing the most "
            f"valuable first loses {self.most:.4f} {self.utility}{multiples[0]}, the least "
            f"valuable first keeps {self.least:.4f}{multiples[1]}; more than {self.needed:.1f} × "
            "is needed"
        )


def removal_curves(
    game: Game,
    unlearner: Unlearner,
    values: Mapping[str, float],
    utility: Utility,
    *,
    random: int,
    seed: int,
    size: int,
    advance: Advance = lambda _count: None,
) -> Curves:
    """Measure the curves by value, from both ends, and of `random` random orders.

    values: by player, of all players; size: coalitions measured in one batch; advance: called with
    the number of coalitions done, in total those of `planned`. The empty and the full coalition are
    measured as in a valuation.
    """
    orders = removal_orders([values[p] for p in game.players], random, seed)
    coalitions = planned(orders)
    fitted = unlearner.fitted(game.pretrained, game.staying(coalitions))
    endpoints = measure_endpoints(game, fitted, [utility])
    measured = dict(zip(keys(endpoints.coalitions), endpoints.utilities[utility.name], strict=True))
    for part in chunks(coalitions, size):
        utilities = measure(game, fitted, part, [utility])[utility.name]
        measured.update(zip(keys(part), utilities, strict=True))
        advance(len(part))
    lines = {
        name: np.array([measured[key] for key in keys(removals(order))])
        for name, order in orders.items()
    }
    return Curves(game.players, utility.name, orders, lines)


def planned(orders: Mapping[str, Sequence[int]]) -> Coalitions:
    """Coalitions that have to be measured for these orders, each once, small ones first, so that
    a batch holds coalitions of similar cost.
    """
    return distinct(np.vstack([removals(order)[1:-1] for order in orders.values()]))


def area(line: Floats) -> float:
    """Mean utility along a curve `(n + 1,)`, by the trapezoidal rule over the share removed."""
    return float(np.trapezoid(line, dx=1 / (len(line) - 1)))


def _rows(
    direction: str,
    order: str,
    providers: Sequence[str],
    bits: Sequence[str],
    utilities: Sequence[float],
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "direction": direction,
            "order": order,
            "step": range(len(bits)),
            "provider": ["", *providers],
            "coalition": bits,
            "utility": utilities,
        }
    )
