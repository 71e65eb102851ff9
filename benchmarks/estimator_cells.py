"""What estimators.py measures: games with known values, and how far one estimator is from them."""

from __future__ import annotations

import json
import subprocess
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from stored import GAMES, UNLEARNERS, UTILITIES, StoredGame, load
from synthetic import SYNTHETIC
from unseen import UNSEEN, unseen

import unshapley.estimators as ours
from unshapley.errors import InputError
from unshapley.estimators import ESTIMATORS, Estimate, Plan, make_plan
from unshapley.estimators.semivalues import shapley
from unshapley.estimators.shapiq_adapter import PREFIX
from unshapley.files import digest
from unshapley.numerics import one_thread

CACHE = Path(__file__).resolve().parents[1] / ".benchmarks"
BUDGETS = (32, 64, 128, 256, 512)
SIZES = (20, 50, 100, 500)
MORE = {20: (200,), 50: (1000,)}
SHAPIQ = (
    "KernelSHAP",
    "kADDSHAP",
    "SVARM",
    "UnbiasedKernelSHAP",
    "PermutationSamplingSV",
    "StratifiedSamplingSV",
    "OwenSamplingSV",
)
PYDVL = (
    "PermutationSampler",
    "AntitheticPermutationSampler",
    "StratifiedSampler",
    "MSRSampler",
)
PAIRS = 500
SOURCES = ("pydvl_estimates.py", "synthetic.py", "unseen.py", "stored.py")
UNSEEN_CELLS = ((10, 64), (10, 128), (20, 200), (50, 256), (100, 256))
"""Numbers of providers and budgets of the random games."""

Floats = np.typing.NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    """A game, its number of providers and a budget of distinct coalitions."""

    game: str
    n: int
    budget: int


@dataclass(frozen=True)
class Job:
    """One estimator of one library in one cell, for so many seeds."""

    cell: Cell
    estimator: str
    library: str
    seeds: int
    python: str = ""

    @property
    def path(self) -> Path:
        """Where its row is kept; another code of the estimators is another row."""
        said = [asdict(self.cell), self.estimator, self.library, self.seeds, sources()]
        return CACHE / "estimators" / f"{digest(said)[:20]}.json"


@dataclass(frozen=True)
class Row:
    """Means over the seeds; coverage of 95 % intervals: of values, and of their differences."""

    game: str
    n: int
    budget: int
    estimator: str
    library: str
    seeds: int
    asked: float
    rel_l2: float
    mae: float
    spearman: float
    top3_recall: float
    coverage: float | None
    pair_coverage: float | None
    seconds: float


@cache
def sources() -> str:
    """One name for the code of the estimators as it is."""
    folder = Path(ours.__file__).parent
    files = sorted(folder.glob("*.py"))
    here = Path(__file__).parent
    files += [here / name for name in SOURCES]
    return digest([file.read_text() for file in files])


def game_of(name: str, n: int, seed: int) -> tuple[Any, Floats]:
    """Utilities of coalitions, and the values `(n,)`; only random games depend on the seed."""
    if name in UNSEEN:
        game = unseen(name, n, seed)
        return game.utility, game.values
    return _fixed(name, n)


@cache
def _fixed(name: str, n: int) -> tuple[Any, Floats]:
    if name in SYNTHETIC:
        game = SYNTHETIC[name](n)
        return game.utility, game.values
    stored = load(*name.split("-", 2))
    plan = make_plan("exact", n, 2**n, 0)
    table = _table(stored, plan)
    return stored, ESTIMATORS["exact"].estimate(plan, table, shapley(n)).value


def cells(sizes: Sequence[int] = ()) -> Iterator[Cell]:
    """All of them, or those of some numbers of providers; none whose budget covers everything."""
    stored = [f"{g}-{u}-{utility}" for g in GAMES for u in UNLEARNERS for utility in UTILITIES]
    for name, n in [(s, load(*s.split("-", 2)).n) for s in stored] + [
        (s, n) for n in SIZES for s in SYNTHETIC
    ]:
        for budget in sorted({*BUDGETS, *MORE.get(n, ())}):
            if (not sizes or n in sizes) and budget < 2**n - 2:
                yield Cell(name, n, budget)


def unseen_cells(sizes: Sequence[int] = ()) -> Iterator[Cell]:
    """Those of the random games, or those of some numbers of providers."""
    for name in UNSEEN:
        for n, budget in UNSEEN_CELLS:
            if not sizes or n in sizes:
                yield Cell(name, n, budget)


def run(job: Job) -> Row | None:
    """The row of a job, from the cache if it is there; none where the estimator refuses."""
    if job.path.exists():
        kept = json.loads(job.path.read_text())
        return Row(**kept) if kept else None
    warnings.simplefilter("ignore")
    cell = job.cell
    try:
        runs = _pydvl(job) if job.library == "pyDVL" else _ours(job)
    except InputError:
        found = None
    else:
        errors = [
            _error(np.array(one["values"], dtype=float), game_of(cell.game, cell.n, seed)[1])
            for seed, one in enumerate(runs)
        ]
        mean = {key: float(np.nanmean([e[key] for e in errors])) for key in errors[0]}
        cost = {key: float(np.mean([one[key] for one in runs])) for key in ("seconds", "asked")}
        covered = {key: _covered(runs, key) for key in ("coverage", "pair_coverage")}
        said = {"estimator": job.estimator, "library": job.library, "seeds": job.seeds}
        found = Row(**asdict(cell), **said, **mean, **cost, **covered)
    job.path.parent.mkdir(parents=True, exist_ok=True)
    job.path.write_text(json.dumps(asdict(found) if found else None))
    return found


def _ours(job: Job) -> list[dict[str, Any]]:
    n, out = job.cell.n, []
    for seed in range(job.seeds):
        game, truth = game_of(job.cell.game, n, seed)
        begin = time.perf_counter()
        plan = make_plan(job.estimator, n, job.cell.budget, seed)
        table = _table(game, plan)
        with one_thread():
            found = ESTIMATORS[plan.estimator].estimate(plan, table, shapley(n))
        one = {"values": found.value, "asked": len(plan.coalitions)}
        one["seconds"] = time.perf_counter() - begin
        if not job.estimator.startswith(PREFIX):
            one |= _coverage(found, truth)
        out.append(one)
    return out


def _pydvl(job: Job) -> list[dict[str, Any]]:
    name = job.cell.game
    game = game_of(name, job.cell.n, 0)[0]
    if isinstance(game, StoredGame):
        path = CACHE / "estimators" / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, game.utilities)
        name = str(path)
    cell = {"n": job.cell.n, "budget": job.cell.budget, "seeds": job.seeds}
    asked = json.dumps({"game": name, "estimator": job.estimator, **cell})
    worker = Path(__file__).with_name("pydvl_estimates.py")
    done = subprocess.run(
        [job.python, str(worker)], input=asked, check=True, capture_output=True, text=True
    )
    runs: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return runs


def _table(game: Any, plan: Plan) -> Floats:
    ends = np.array([[False], [True]]).repeat(plan.n, axis=1)
    out: Floats = game(np.vstack([ends[:1], plan.coalitions, ends[1:]]))
    return out


def _error(found: Floats, truth: Floats) -> dict[str, float]:
    top = set(np.argsort(-truth)[:3])
    same = np.ptp(found) == 0
    return {
        "rel_l2": float(np.linalg.norm(found - truth) / np.linalg.norm(truth)),
        "mae": float(np.abs(found - truth).mean()),
        "spearman": np.nan if same else float(stats.spearmanr(found, truth)[0]),
        "top3_recall": len(top & set(np.argsort(-found)[:3])) / 3,
    }


def _coverage(found: Estimate, truth: Floats) -> dict[str, float]:
    n = len(truth)
    first, second = np.triu_indices(n, 1)
    chosen = np.random.default_rng(0).permutation(len(first))[:PAIRS]
    first, second = first[chosen], second[chosen]
    missed = found.value - truth
    out = {}
    for key, error, half in (
        ("coverage", missed, found.half_width),
        (
            "pair_coverage",
            missed[first] - missed[second],
            found.half_width_of_difference(first, second),
        ),
    ):
        held = np.abs(error) <= half + 1e-12
        out[key] = float(held.mean()) if np.isfinite(half).all() else np.nan
    return out


def _covered(runs: list[dict[str, Any]], key: str) -> float | None:
    found = np.array([one.get(key, np.nan) for one in runs])
    return float(found.mean()) if np.isfinite(found).all() else None
