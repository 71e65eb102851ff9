"""What a manifest states beside numbers: is it what its other entries and the files give?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshapley.audit.recorded import RecordedValuation
from unshapley.audit.verdict import UNEXAMINED, Check, compare_entries
from unshapley.files import read_json
from unshapley.game.keys import game_key
from unshapley.game.loading import LoadedGame
from unshapley.game.utilities import sources_of
from unshapley.game.utility import RESAMPLES
from unshapley.unlearning import Unlearner
from unshapley.unlearning.auto import AutoUnlearner


def check_statements(
    recorded: RecordedValuation,
    game: LoadedGame,
    unlearner: Unlearner,
    exact: NDArray[np.bool_],
    *,
    other_code: bool,
) -> Iterator[Check]:
    """Entries of the manifest, and the key of the game, which all utilities depend on.

    exact: coalitions of the plan that the unlearner itself retrains `(m,)`; other_code: whether
    keys are made otherwise here than they were.
    """
    manifest, config = recorded.manifest, recorded.manifest["config"]
    named = recorded.params.valuation.targets or game.providers
    players = sorted(p for p in named if p not in manifest["quarantined"])
    expected: dict[str, Any] = {
        "seeds": {section: config[section]["seed"] for section in manifest["seeds"]},
        "players": players,
        "unlearner": list(unlearner.described()),
        "own_utilities": sources_of(game.utilities),
        "estimator": recorded.plan.estimator,
        "coalitions": dict.fromkeys(("planned", "measured"), len(recorded.coalitions)),
        **_calibration(recorded, unlearner, exact),
    }
    stated = {name: manifest[name] for name in expected if name in manifest}
    stated["estimator"] = manifest["estimator"]["name"]
    calibration = manifest["calibration"] or {}
    stated |= {name: calibration.get(name) for name in expected if name not in manifest}
    names = list(expected)
    a, b = ([entries[name] for name in names] for entries in (stated, expected))
    yield compare_entries("plan", "entries of the manifest", a, b, names)
    if other_code:
        yield Check("plan", "key of the game", UNEXAMINED, details=("other code makes other keys",))
    else:
        key = game_key(game, unlearner, game.utilities, manifest["numerics"])
        yield compare_entries("plan", "key of the game", [manifest["game"]], [key], ["game"])
    yield _undefined(recorded, game)


def _calibration(
    recorded: RecordedValuation, unlearner: Unlearner, exact: NDArray[np.bool_]
) -> dict[str, Any]:
    """What is stated of calibration: by its own names."""
    if not isinstance(unlearner, AutoUnlearner):
        return {"calibration": None}
    return {
        "method": "retrain" if unlearner.retrains_all else unlearner.method,
        "retrained": int((recorded.by_calibration & ~exact).sum()),
        "corrected": recorded.corrected is not None,
    }


def _undefined(recorded: RecordedValuation, game: LoadedGame) -> Check:
    """The share of bootstrap samples that metrics.json leaves out."""
    path, utility = recorded.project.valuation / "metrics.json", game.utilities[0]
    written = read_json(path, do="restore it with `git checkout`")["undefined_samples"]
    share = None
    if utility.source is None:
        share = 1 - len(utility.samples_of(game.test_y)) / RESAMPLES
    what = "metrics.json: undefined_samples"
    return compare_entries("publish", what, [written], [share], ["undefined_samples"])
