"""The estimate is counted before a run; here it is held against what is really used."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.unshapley.games import digits_game, from_masks
from unshapley.config import ValuationSettings
from unshapley.errors import InputError
from unshapley.game.measuring import measure
from unshapley.game.memory import bytes_per_coalition, chunk_size
from unshapley.game.utilities import build_utilities
from unshapley.models.training import trainable
from unshapley.unlearning import build_unlearner

ALL = from_masks(range(1, 31), 5)


def test_chunks_are_as_large_as_memory_allows(inputs):
    finetune = build_unlearner("finetune")
    one = bytes_per_coalition(inputs, finetune, ALL)
    assert chunk_size(inputs, finetune, ALL, ValuationSettings(chunk_size=64, memory_mb=1024)) == 64
    assert (
        chunk_size(inputs, finetune, ALL, ValuationSettings(chunk_size=64, memory_mb=5))
        == 5 * 2**20 // one
    )
    # newton reads no rows, and what keeps fewer of them takes less
    assert bytes_per_coalition(inputs, finetune, ALL[:1]) < one
    assert bytes_per_coalition(inputs, finetune, ALL[:1]) < bytes_per_coalition(
        inputs, build_unlearner("neggrad_plus"), ALL
    )


def test_a_mini_batch_takes_less_memory_than_all_rows():
    coalitions = from_masks(range(1, 8), 3)
    retrain = build_unlearner("retrain")
    sizes = [
        bytes_per_coalition(digits_game(batch_size=size), retrain, coalitions)
        for size in (None, 1000, 100, 50)
    ]
    assert sizes[0] == sizes[1] > sizes[2] > sizes[3]


def test_the_best_weights_and_the_reference_set_are_counted():
    coalitions = from_masks([1], 3)
    retrain = build_unlearner("retrain")
    plain, kept, small = (
        digits_game(**options)
        for options in ({}, {"patience": 2}, {"patience": 2, "batch_size": 2})
    )
    weights = sum(plain.pretrained.trained[n].nbytes for n in trainable(plain.pretrained.model))
    before = bytes_per_coalition(plain, retrain, coalitions)
    # p0 has as many rows as the reference set, which are gone through for a mini-batch of two, too
    assert bytes_per_coalition(kept, retrain, coalitions) == before + weights
    assert bytes_per_coalition(small, retrain, coalitions) == before + weights


def test_memory_for_not_even_one_coalition_is_refused():
    game = digits_game(hidden=[512])
    coalitions = from_masks(range(1, 7), 3)
    with pytest.raises(InputError, match="one coalition takes about .*\n.*it is 1\n.*smaller"):
        chunk_size(game, build_unlearner("retrain"), coalitions, ValuationSettings(memory_mb=1))


@pytest.mark.parametrize(
    ("name", "hidden", "count", "recipe"),
    [
        ("natural_gradient", 64, 200, {}),
        pytest.param("finetune", 64, 1000, {}, marks=pytest.mark.drill),
        pytest.param("retrain", 64, 600, {"batch_size": 50}, marks=pytest.mark.drill),
        pytest.param("random_label", 2048, 50, {}, marks=pytest.mark.drill),
    ],
)
def test_what_is_used_stays_below_the_estimate_and_near_it(name, hidden, count, recipe):
    """In a process of its own, as the peak of this one is long past."""
    call = f"use({name!r}, {hidden}, {count}, **{recipe})"
    command = [sys.executable, "-c", f"from {__name__} import use; {call}"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not found.returncode, found.stderr
    used, estimated = map(float, found.stdout.split())
    assert 0.25 * estimated < used < 1.1 * estimated


def test_a_mask_over_the_weights_is_counted(inputs):
    with_mask, without = (build_unlearner("random_label", {"saliency": s}) for s in (0.5, 1.0))
    pretrained = inputs.pretrained
    weights = sum(pretrained.trained[name].nbytes for name in trainable(pretrained.model))
    gap = bytes_per_coalition(inputs, with_mask, ALL) - bytes_per_coalition(inputs, without, ALL)
    assert gap >= weights


def use(name: str, hidden: int, count: int, **recipe) -> None:
    game = digits_game(hidden=[hidden], **recipe)
    coalitions = np.ones((count, 3), dtype=bool)
    coalitions[:, 0] = False
    unlearner = build_unlearner(name, {} if name == "retrain" else {"steps": 2})
    estimated = len(coalitions) * bytes_per_coalition(game, unlearner, coalitions)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of making the game
    before = psutil.Process().memory_info().rss
    measure(game, unlearner, coalitions, build_utilities(["neg_log_loss"]))
    status = Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    print(int(peak.split()[1]) * 1024 - before, estimated)
