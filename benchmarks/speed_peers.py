"""Who speed.py compares with: pyDVL in an environment of its own, and one model after another."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from plain_mlp import PlainMLP
from speed_data import Floats
from speed_rows import Row, spent

from unshapley.game.coalitions import Coalitions
from unshapley.game.game import Game
from unshapley.game.measuring import measure_endpoints
from unshapley.game.utilities import build_utilities
from unshapley.unlearning import NoUnlearning

PYDVL = "0.10.0"
REQUIREMENTS = (f"pydvl=={PYDVL}", f"torch=={torch.__version__.partition('+')[0]}", "numpy<2")
WORKER = Path(__file__).with_name("pydvl_worker.py")


@dataclass(frozen=True)
class Peer:
    """A row of pyDVL and the values it found `(n,)`."""

    row: Row
    values: Floats


def pydvl_python(cache: Path) -> Path | None:
    """The interpreter of pyDVL's environment, built in `cache` if it is not there yet.

    pyDVL needs numpy < 2 and is under the LGPL, so it is no dependency. `None`, with one line
    that says why, if it cannot be built.
    """
    home = cache / "pydvl-venv"
    python, ready = home / "bin" / "python", home / "ready.json"
    if not ready.exists() or json.loads(ready.read_text()) != list(REQUIREMENTS):
        print(f"building {home}: {' '.join(REQUIREMENTS)} (a minute or more, once)", flush=True)
        shutil.rmtree(home, ignore_errors=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", home], check=True, capture_output=True)
            pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, *REQUIREMENTS], check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            why = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
            print(f"pyDVL's rows are left out, its environment could not be built: {why}")
            shutil.rmtree(home, ignore_errors=True)
            return None
        ready.write_text(json.dumps(REQUIREMENTS))
    freeze = [python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"]
    listed = json.loads(subprocess.run(freeze, check=True, capture_output=True).stdout)
    versions = {one["name"].lower(): one["version"] for one in listed}
    shown = ("pydvl", "torch", "numpy", "scikit-learn", "joblib", "scipy", "pandas")
    print("pyDVL's environment:", ", ".join(f"{name} {versions.get(name)}" for name in shown))
    return python


def write_arrays(game: Game, path: Path) -> None:
    """The game as arrays, for who has no unshapley."""
    pretrained, recipe = game.pretrained, game.pretrained.recipe
    nobody = measure_endpoints(game, NoUnlearning(), build_utilities(["accuracy"])).utilities[
        "accuracy"
    ][0]
    np.savez(
        path,
        x=pretrained.rows.x,
        y=pretrained.rows.y,
        owner=pretrained.rows.owner,
        test_x=game.test_x,
        test_y=game.test_y,
        nobody=nobody,
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        **{f"initial/{name}": tensor for name, tensor in pretrained.initial.items()},
    )


def run_pydvl(python: Path, data: Path, game: Game, permutations: int | None, jobs: int) -> Peer:
    """Values by pyDVL of the game in `data`, by so many permutations or exact (`None`)."""
    command = [str(python), str(WORKER), str(data), "--jobs", str(jobs)]
    if permutations is not None:
        command += ["--permutations", str(permutations)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"pydvl_worker.py failed:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    kind = "exact, sets remembered" if permutations is None else f"TMC {permutations} permutations"
    row = Row(
        f"pyDVL {PYDVL} {kind}",
        ours=False,
        threads=jobs,
        n=len(game.players),
        rows=len(game.pretrained.rows.y),
        coalitions=found["retrainings"],
        cpu_s=found["cpu_s"],
        wall_s=found["wall_s"],
        cpu_s_per_coalition=found["cpu_s"] / found["retrainings"],
        peak_mb=found["peak_mb"],
    )
    return Peer(row, np.array(found["values"]))


def one_by_one(game: Game, coalitions: Coalitions) -> tuple[Row, NDArray[np.float64]]:
    """Retrain coalitions `(m, n)` one model at a time on one thread; gives their accuracies too."""
    pretrained, recipe = game.pretrained, game.pretrained.recipe
    rows = pretrained.rows
    x, y, owner = (t.numpy() for t in (rows.x, rows.y, rows.owner))
    initial = {name: tensor.numpy() for name, tensor in pretrained.initial.items()}
    model = PlainMLP(initial, recipe.steps, recipe.learning_rate, recipe.weight_decay)
    test_x, test_y = game.test_x.numpy(), game.test_y.numpy()
    accuracies = []
    with spent() as cost:
        for coalition in coalitions:
            keeps = coalition[owner]
            model.fit(x[keeps], y[keeps])
            accuracies.append((model.predict(test_x) == test_y).mean())
    row = cost.row("plain torch, one by one", 1, len(game.players), len(y), len(coalitions))
    return replace(row, ours=False), np.array(accuracies)
