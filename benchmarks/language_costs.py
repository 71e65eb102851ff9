"""What a coalition costs by the size of a language model: retrained, forgotten, evaluated.

    python -m benchmarks.language_costs [--json FILE]

CPU seconds of one thread on the game `packages`, a process a size, so that its peak memory is its
own. Retraining is timed over a few steps and scaled to the recipe's; the models are not trained, so
nothing is said of their values.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.corpora import game
from benchmarks.language_scores import parts
from unshapley.curvature.text_store import with_text_statistics
from unshapley.game.game import Game
from unshapley.game.measuring import measure
from unshapley.game.utilities import build_utilities
from unshapley.unlearning import build_unlearner

SIZES = {
    "0.1 M": {"width": 48, "layers": 2, "heads": 4},
    "1 M": {"width": 128, "layers": 5, "heads": 4},
    "10 M": {"width": 320, "layers": 8, "heads": 8},
}
FEW, EPOCHS, ROWS_OF_STEP = 3, 12, 16
UTILITIES = build_utilities(["log_likelihood"], "language-model")


def seconds(act: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    begin = time.process_time()
    act()
    return time.process_time() - begin


def forgotten(of: Game, method: str, models: int) -> float:
    """CPU seconds a coalition, in a batch of so many, half of the providers kept."""
    n = len(of.providers)
    rng = np.random.default_rng(0)
    coalitions = np.array(
        [np.isin(np.arange(n), rng.permutation(n)[: n // 2]) for _ in range(models)]
    )
    unlearner = build_unlearner(method)
    return seconds(lambda: measure(of, unlearner, coalitions, UTILITIES)) / models


def measured(size: str) -> dict[str, object]:
    """One line of the table."""
    torch.set_num_threads(1)
    of = game("packages", 0, steps=FEW, kwargs=SIZES[size])
    pretrained = replace(of.pretrained, test=(of.test_x, of.test_y))
    of = replace(of, pretrained=pretrained)
    evaluate = forgotten(of, "no_unlearning", 2)
    # half of the rows: half of the steps of the recipe
    steps = EPOCHS * int(of.pretrained.counts.sum()) / ROWS_OF_STEP / 2
    few = FEW / 2
    retrain = {m: (forgotten(of, "retrain", m) - evaluate) / few * steps for m in (1, 4)}
    own = dict(zip(of.providers, parts(of), strict=True))
    found: list[Game] = []

    def statistics() -> None:
        found.append(replace(of, pretrained=with_text_statistics(pretrained, own)))

    once = seconds(statistics)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {
        "size": size,
        "weights": sum(t.numel() for t in of.pretrained.trained.values()),
        "retrain": retrain[1] + evaluate,
        "retrain, 4 at once": retrain[4] + evaluate,
        "evaluate": evaluate,
        "statistics, once": once,
        "ekfac": forgotten(found[0], "ekfac", 4),
        "ngram": forgotten(found[0], "ngram", 4),
        "peak MiB": peak,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=list(SIZES), help="only this one, as JSON")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.size:
        print(json.dumps(measured(options.size)))
        return
    rows = []
    for size in SIZES:
        command = [sys.executable, "-m", "benchmarks.language_costs", "--size", size]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        cells = [f"{v:.3g}" if isinstance(v, float) else f"{v}" for v in rows[-1].values()]
        if len(rows) == 1:
            print(f"| {' | '.join(rows[0])} |\n|{' --- |' * len(cells)}")
        print(f"| {' | '.join(cells)} |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
