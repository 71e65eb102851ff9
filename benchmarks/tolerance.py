"""What other settings of the machine change in utilities and values, beside what float64 changes.

    python benchmarks/tolerance.py

The embedded digits; 300 coalitions by `finetune`, 60 of the smallest by `retrain`; each setting in
a process of its own. Prints two tables.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HOME = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOME))
SETTINGS: dict[str, dict[str, str]] = {
    "the same again": {},
    "chunks of 7": {"CHUNK": "7"},
    "OMP_NUM_THREADS=4": {"OMP_NUM_THREADS": "4"},
    "ATEN_CPU_CAPABILITY=avx2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "ATEN_CPU_CAPABILITY=default": {"ATEN_CPU_CAPABILITY": "default"},
    "MKL_CBWR=COMPATIBLE": {"MKL_CBWR": "COMPATIBLE"},
    "both of the last": {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default"},
    "OPENBLAS_CORETYPE=Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "OPENBLAS_CORETYPE=Nehalem": {"OPENBLAS_CORETYPE": "Nehalem"},
    "float64": {"DOUBLE": "1"},
}
UNLEARNED, RETRAINED = 300, 60


def prepared(folder: Path) -> None:
    """The digits, pretrained."""
    from tasks.expectations.suites import save_suites
    from unshapley.config import load_params
    from unshapley.data.preparation import prepare
    from unshapley.data.tables import Schema
    from unshapley.game.pretraining import pretrain
    from unshapley.new_project import init_project
    from unshapley.project import Project

    init_project(folder, ["pretrain.kwargs.hidden=[32]"])
    project = Project(folder)
    params = load_params(project.params)
    prepare(project, params)
    save_suites(project.expectations, Schema.load(project.schema), params.validation)
    pretrain(project, params, project.providers(), {})


def measured(folder: Path) -> dict[str, list[float]]:
    """Utilities by unlearner, and values of the unlearned ones, with this process's settings."""
    from unshapley.estimators import estimate, make_plan
    from unshapley.game.coalitions import chunks
    from unshapley.game.loading import load_game
    from unshapley.game.measuring import measure, measure_endpoints
    from unshapley.game.rounding import in_double
    from unshapley.project import Project
    from unshapley.unlearning import build_unlearner

    project = Project(folder)
    game = load_game(project, tuple(project.providers()), None, "cpu", ("neg_log_loss",))
    game = in_double(game) if "DOUBLE" in os.environ else game
    plan = make_plan("gaussian_process", len(game.players), UNLEARNED, 0)
    smallest = np.argsort(plan.coalitions.sum(axis=1), kind="stable")[:RETRAINED]
    kinds = {
        "finetune": (
            build_unlearner("finetune", {"steps": 12, "learning_rate": 0.02}),
            plan.coalitions,
        ),
        "retrain": (build_unlearner("retrain"), plan.coalitions[smallest]),
    }
    out: dict[str, list[float]] = {}
    for name, (unlearner, coalitions) in kinds.items():
        out[name] = []
        for part in chunks(coalitions, int(os.environ.get("CHUNK", "50"))):
            out[name] += measure(game, unlearner, part, game.utilities)["neg_log_loss"]
    none, full = measure_endpoints(game, kinds["finetune"][0], game.utilities).primary_utilities
    stored = folder / "finetune.json"  # values of the same utilities, whatever measured them
    if not stored.exists():
        stored.write_text(json.dumps([none, *out["finetune"], full]))
    found = estimate(plan, np.array(json.loads(stored.read_text())))
    out["values"] = found.value.tolist()
    out["errors of values"] = found.std_error.tolist()
    return out


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "digits"
        prepared(folder)
        found = {}
        for setting, variables in SETTINGS.items():
            done = subprocess.run(
                [sys.executable, __file__, str(folder)],
                env={**os.environ, **variables}, capture_output=True, text=True, check=True,
            )  # fmt: skip
            found[setting] = {k: np.array(v) for k, v in json.loads(done.stdout).items()}
    base = found["the same again"]
    double = {kind: np.abs(found["float64"][kind] - base[kind]) for kind in base}
    print("| setting | " + " | ".join(base) + " |")
    print("| --- |" + " ---: |" * len(base))
    for setting, kinds in found.items():
        sizes = {kind: float(np.abs(kinds[kind] - base[kind]).max()) for kind in base}
        print(f"| {setting} | " + " | ".join(f"{size:.1e}" for size in sizes.values()) + " |")
    rng = np.random.default_rng(0)
    few = [double["finetune"][rng.choice(UNLEARNED, 8, replace=False)].max() for _ in range(4000)]
    others = max(
        np.abs(k["finetune"] - base["finetune"]).max() for s, k in found.items() if s != "float64"
    )
    print(f"\nOf 8 coalitions by finetune, float64 changes most one by (5 %, median, 95 %): "
          f"{np.quantile(few, 0.05):.1e}, {np.median(few):.1e}, {np.quantile(few, 0.95):.1e}; "
          f"of all by {double['finetune'].max():.1e}, other settings by {others:.1e}")  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measured(Path(sys.argv[1]))))
    else:
        main()
