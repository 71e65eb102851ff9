"""What a coalition costs by the size of a language model: retrained, forgotten, evaluated.

    python -m benchmarks.language_costs [--adapters] [--json FILE]

CPU seconds of one thread on the game `packages`, a process a line, so that its peak memory is its
own. With --adapters: retraining LoRA adapters over one base, 1 to 8 coalitions at once. Retraining
is timed over a few steps (of adapters over one) and scaled to the recipe's; the models are not
trained, so nothing is said of their values.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.corpora import game
from benchmarks.language_scores import parts
from unshapley.curvature.text_store import with_text_statistics
from unshapley.game.coalitions import Coalitions
from unshapley.game.game import Game
from unshapley.game.measuring import measure, unlearn
from unshapley.game.memory import bytes_per_coalition
from unshapley.game.utilities import build_utilities
from unshapley.unlearning import build_unlearner
from unshapley.valuing.model_check import grown_by

SIZES = {
    "0.1 M": {"width": 48, "layers": 2, "heads": 4},
    "1 M": {"width": 128, "layers": 5, "heads": 4},
    "10 M": {"width": 320, "layers": 8, "heads": 8},
}
FEW, EPOCHS, ROWS_OF_STEP = 3, 12, 16
AT_ONCE, RANK = (1, 2, 4, 8), 8
UTILITIES = build_utilities(["log_likelihood"], "language-model")


def seconds(act: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    begin = time.process_time()
    act()
    return time.process_time() - begin


def forgotten(of: Game, method: str, models: int) -> float:
    """CPU seconds a coalition, in a batch of so many, half of the providers kept."""
    coalitions, unlearner = _halves(len(of.providers), models), build_unlearner(method)
    return seconds(lambda: measure(of, unlearner, coalitions, UTILITIES)) / models


def _halves(n: int, models: int) -> Coalitions:
    """Coalitions of half of the providers, drawn once `(models, n)`."""
    rng = np.random.default_rng(0)
    return np.array([np.isin(np.arange(n), rng.permutation(n)[: n // 2]) for _ in range(models)])


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


def small_llama(folder: Path) -> None:
    """A Llama of the tests' shape with about ten million weights, drawn by seed 0."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(
        vocab_size=384, hidden_size=320, intermediate_size=896, num_hidden_layers=8,
        num_attention_heads=8, num_key_value_heads=4, max_position_embeddings=64,
        tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def adapters_at_once(models: int) -> dict[str, object]:
    """One line of the table of adapters: half of the providers kept, nothing evaluated."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        small_llama(Path(folder))
        of = game(
            "packages", 0, steps=1, architecture="unshapley.models:huggingface",
            kwargs={"folder": folder, "adapters": RANK},
        )  # fmt: skip
    base = {tensor.data_ptr(): tensor.numel() for tensor in of.pretrained.model.buffers()}
    coalitions, retrain = _halves(len(of.providers), models), build_unlearner("retrain")
    spent: list[float] = []
    grown = grown_by(lambda: spent.append(seconds(lambda: unlearn(of, retrain, coalitions))))
    recipe = EPOCHS * int(of.pretrained.counts.sum()) / ROWS_OF_STEP
    return {
        "at once": models,
        "base": sum(base.values()),
        "adapters": sum(t.numel() for t in of.pretrained.trained.values()),
        "retrain, a model": spent[0] / models * recipe,
        "grown MiB": grown,
        "estimated MiB": models * bytes_per_coalition(of, retrain, coalitions) / 2**20,
        "peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=list(SIZES), help="only this one, as JSON")
    parser.add_argument("--adapters", action="store_true", help="of adapters over one base")
    parser.add_argument("--models", type=int, help="only so many at once, as JSON")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.size or options.models:
        line = adapters_at_once(options.models) if options.models else measured(options.size)
        print(json.dumps(line))
        return
    lines = [("--size", size) for size in SIZES]
    if options.adapters:
        lines = [("--models", str(models)) for models in AT_ONCE]
    rows = []
    for line in lines:
        command = [sys.executable, "-m", "benchmarks.language_costs", *line]
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
