"""pyDVL's samplers on a game: run by estimators.py in pyDVL's own environment, prints JSON.

One job on stdin: `{game, n, budget, estimator, seeds}`; game is a name of synthetic.py or an .npy
of utilities by mask. pyDVL runs until it asks for more distinct coalitions than the budget.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import warnings
from typing import Any

import numpy as np
from pydvl.valuation.dataset import Dataset
from pydvl.valuation.methods.shapley import ShapleyValuation
from pydvl.valuation.samplers import (
    AntitheticPermutationSampler,
    ConstantSampleSize,
    MSRSampler,
    PermutationSampler,
    RandomIndexIteration,
    RandomSizeIteration,
    StratifiedSampler,
)
from pydvl.valuation.stopping import NoStopping
from pydvl.valuation.utility.base import UtilityBase
from synthetic import SYNTHETIC

REPEATED = 8
"""A sampler that repeats coalitions ends after so many times the budget."""


class Spent(Exception):  # noqa: N818
    """The budget is used up."""


class TableUtility(UtilityBase):
    """Counts distinct coalitions but nobody and everybody."""

    def __init__(self, game: Any, n: int, budget: int) -> None:
        self.game, self.n, self.budget = game, n, budget
        self.memo: dict[bytes, float] = {}
        self.calls = 0

    def __call__(self, sample: Any) -> float:
        stays = np.zeros((1, self.n), dtype=bool)
        if sample is not None:
            stays[0, np.asarray(sample.subset, dtype=int)] = True
        key = np.packbits(stays).tobytes()
        self.calls += 1
        if self.calls > REPEATED * (self.budget + 2):
            raise Spent
        if stays.all() or not stays.any():
            return float(self.game(stays)[0])
        if key not in self.memo:
            if len(self.memo) >= self.budget:
                raise Spent
            self.memo[key] = float(self.game(stays)[0])
        return self.memo[key]


def stratified(seed: int) -> StratifiedSampler:
    return StratifiedSampler(
        sample_sizes=ConstantSampleSize(),
        sample_sizes_iteration=RandomSizeIteration,
        index_iteration=RandomIndexIteration,
        seed=seed,
    )


SAMPLERS: dict[str, Any] = {
    "PermutationSampler": lambda seed: PermutationSampler(seed=seed),
    "AntitheticPermutationSampler": lambda seed: AntitheticPermutationSampler(seed=seed),
    "StratifiedSampler": stratified,
    "MSRSampler": lambda seed: MSRSampler(seed=seed),
}


def estimate(game: Any, n: int, budget: int, name: str, seed: int) -> dict[str, Any]:
    """Values of one run, what it took and how many coalitions were measured."""
    utility = TableUtility(game, n, budget)
    # pyDVL copies the utility, not the memo: what is counted is shared
    begin = time.perf_counter()
    valuation = ShapleyValuation(utility, SAMPLERS[name](seed), NoStopping(), show_warnings=False)
    with contextlib.suppress(Spent):
        valuation.fit(Dataset(np.arange(n, dtype=float)[:, None], np.zeros(n)))
    result = valuation._result
    values = result.values[np.argsort(result.indices)].tolist()
    return {
        "values": values,
        "seconds": time.perf_counter() - begin,
        "asked": len(utility.memo),
    }


def main() -> None:
    warnings.simplefilter("ignore")
    job = json.load(sys.stdin)
    n = job["n"]
    if job["game"].endswith(".npy"):
        table = np.load(job["game"])

        def game(x: Any) -> Any:
            return table[x @ (1 << np.arange(n))]
    else:
        game = SYNTHETIC[job["game"]](n).utility
    runs = [estimate(game, n, job["budget"], job["estimator"], s) for s in range(job["seeds"])]
    print(json.dumps(runs))


if __name__ == "__main__":
    main()
