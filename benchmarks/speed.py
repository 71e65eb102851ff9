"""What a valuation costs: every unlearner, pyDVL, plain retraining and the machine's own floor.

Prints tables and is no test: `python benchmarks/speed.py [--quick] [--only engine,pydvl,…]`.
CPU seconds count all threads and worker processes; imports are timed for nobody.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from speed_cuda import cuda_rows
from speed_data import (
    CHUNK,
    RECIPE,
    SEED,
    UTILITIES,
    Floats,
    add_statistics,
    errors,
    make_game,
    measure_all,
    retrained,
    split_digits,
    values_of,
)
from speed_floor import count, measure_rates
from speed_peers import one_by_one, pydvl_python, run_pydvl, write_arrays
from speed_rows import COLUMNS, Row, print_table, spent, with_errors
from speed_scaling import Memory, scale_coalitions, scale_rows
from speed_targets import targets

from unshapley.environment import versions
from unshapley.estimators import Plan, make_plan
from unshapley.game.coalitions import chunks
from unshapley.game.game import Game
from unshapley.game.measuring import Utilities, measure
from unshapley.game.utilities import build_utilities
from unshapley.unlearning import build_unlearner

PARTS = ("engine", "pydvl", "sequential", "scaling", "memory", "cuda")
ENGINE = (
    "newton",
    "hybrid",
    "newton_finetune",
    "shrink_finetune",
    "finetune",
    "truncated_retrain",
    "retrain",
)


@dataclass(frozen=True)
class Setting:
    """A game with the exact values of real retraining, by utility."""

    game: Game
    plan: Plan
    utilities: Utilities
    truth: dict[str, Floats]


def prepare(n: int, cache: Path) -> Setting:
    """The game of `n` providers; says what happens once."""
    split = split_digits(n)
    with spent() as fitting:
        game = make_game(split)
    with spent() as statistics:
        game = add_statistics(game, split)
    plan = make_plan("exact", n, 2**n, SEED)
    print(
        f"digits, {n} providers, {split.rows:,} training and {len(game.test_y)} test rows, "
        f"MLP 64-32-10, {RECIPE.steps} full-batch Adam steps, rate {RECIPE.learning_rate}, "
        f"decay {RECIPE.weight_decay}; seeds {SEED} (data), {RECIPE.seed} (model)\n"
        f"once: pretraining {fitting.cpu_s:.2f} s CPU, statistics {statistics.cpu_s:.2f} s CPU",
        flush=True,
    )
    with spent() as cost:
        utilities, stored = retrained(game, plan, cache)
    told = "stored" if stored else f"{cost.cpu_s:.0f} s CPU, {cost.wall_s:.0f} s on 2 threads"
    print(f"exact values by retraining all {len(plan.coalitions):,} coalitions: {told}", flush=True)
    truth = {name: values_of(game, plan, utilities, name) for name in UTILITIES}
    return Setting(game, plan, utilities, truth)


def engine_row(setting: Setting, name: str, threads: int) -> dict[str, Row]:
    """A row by utility for one of our unlearners, with the errors of its exact values.

    Retraining is timed on two chunks that lie alike on both sides of the middle of the plan.
    """
    game, plan = setting.game, setting.plan
    everyone = game.staying(plan.coalitions)
    unlearner = build_unlearner(name).fitted(game.pretrained, everyone)
    parts = chunks(plan.coalitions, CHUNK)
    if name == "retrain":
        parts = parts[3::9] or parts
    measure(game, unlearner, parts[0][:2], build_utilities(UTILITIES))
    with spent() as cost:
        found = measure_all(game, unlearner, parts, threads)
    measured = sum(map(len, parts))
    rows = len(game.pretrained.rows.y)
    row = cost.row(f"unshapley {name}", threads, len(game.players), rows, measured)
    if measured < len(plan.coalitions):
        return {UTILITIES[0]: row}
    values = {u: values_of(game, plan, found, u) for u in UTILITIES}
    return {u: with_errors(row, *errors(values[u], setting.truth[u])) for u in UTILITIES}


def run_engine(setting: Setting, threads: Sequence[int]) -> list[Row]:
    """Our unlearners, their errors by the other utility, and their share of the floor."""
    found = [engine_row(setting, name, t) for t in threads for name in ENGINE]
    rows = [one[UTILITIES[0]] for one in found]
    print_table("our engine; errors of accuracy's values against retraining", rows)
    other = [one[UTILITIES[1]] for one in found[: len(ENGINE)] if UTILITIES[1] in one]
    chosen = [column for column in COLUMNS if column[0] in {"system", "MAE", "Spearman"}]
    print_table("the same runs, values of neg_log_loss (nats)", other, chosen)
    print_floor(setting, rows[: len(ENGINE)])
    return rows


def print_floor(setting: Setting, rows: Sequence[Row]) -> None:
    """Bare matrix products at the measured rate of one thread, as a share of what was measured."""
    rates = measure_rates()
    table = []
    for row in rows:
        unlearner = build_unlearner(row.system.removeprefix("unshapley "))
        plan = setting.plan.coalitions
        unlearner = unlearner.fitted(setting.game.pretrained, setting.game.staying(plan))
        work = count(setting.game, unlearner, plan)
        table.append((row, work, work.seconds(rates)))
    print_table(
        f"the floor: one thread multiplies {rates.single / 1e9:.0f} GFLOP/s in single and "
        f"{rates.double / 1e9:.0f} in double precision",
        table,
        (
            ("unlearner", lambda e: e[0].system, ""),
            ("MFLOP single", lambda e: e[1].single / 1e6, ",.1f"),
            ("MFLOP double", lambda e: e[1].double / 1e6, ",.1f"),
            ("floor ms", lambda e: 1000 * e[2], ".3f"),
            ("CPU ms", lambda e: 1000 * e[0].cpu_s_per_coalition, ".3f"),
            ("share of floor", lambda e: e[2] / e[0].cpu_s_per_coalition, ".0%"),
        ),
    )


def run_peers(setting: Setting, python: Path, quick: bool) -> list[Row]:
    """pyDVL: truncated Monte Carlo with 1 and 2 workers, and exact with one."""
    permutations = 10 if quick else 50
    rows = []
    with TemporaryDirectory() as folder:
        data = Path(folder, "game.npz")
        write_arrays(setting.game, data)
        for asked, jobs in ((permutations, 1), (permutations, 2), (None, 1)):
            peer = run_pydvl(python, data, setting.game, asked, jobs)
            rows.append(with_errors(peer.row, *errors(peer.values, setting.truth["accuracy"])))
    print_table("pyDVL, the same game; its own retraining loop, torch on one thread", rows)
    return rows


def run_sequential(setting: Setting, quick: bool) -> list[Row]:
    """One model at a time on coalitions spread evenly over all sizes."""
    everyone = setting.plan.coalitions
    chosen = np.linspace(0, len(everyone) - 1, 8 if quick else 24).round().astype(int)
    row, accuracies = one_by_one(setting.game, everyone[chosen])
    print_table("retraining one model after the other", [row])
    away = np.abs(accuracies - np.array(setting.utilities["accuracy"])[chosen]).max()
    print(f"accuracies are at most {away:.4f} from those of batched retraining")
    return [row]


def run_scaling(quick: bool) -> list[Row]:
    sizes, coalitions = ((1000, 10_000), 256) if quick else ((1000, 10_000, 100_000), 512)
    rows = scale_rows(sizes, coalitions)
    by_rows = (COLUMNS[0], ("rows", lambda r: r.rows, ",d"), *COLUMNS[2:7])
    print_table("cost by training rows (1 thread)", rows, by_rows)
    return rows


def run_memory(quick: bool) -> list[Memory]:
    found = scale_coalitions((1000, 4000) if quick else (1000, 10_000, 100_000))
    columns = [(h, lambda e, take=take: take(e.row), form) for h, take, form in COLUMNS[:7]]
    grown = ("growth MiB", lambda e: e.growth_mb, ".1f")
    print_table("memory by coalitions (20 providers)", found, [*columns, grown])
    return found


def print_machine() -> None:
    """Hardware, versions and date, without which no figure means anything."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    found = versions()
    shown = ("python", "torch", "numpy", "scikit-learn")
    print(
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {names[0] if names else '?'} "
        f"({platform.machine()}), {os.cpu_count()} cores, "
        + ", ".join(f"{name} {found[name]}" for name in shown)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="5 providers, a minute or two")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(__file__).resolve().parent.parent / ".benchmarks",
        help="where pyDVL's environment and exact values are kept",
    )
    arguments = parser.parse_args()
    parts, quick = set(arguments.only.split(",")), arguments.quick
    if parts - set(PARTS):
        parser.error(f"--only: there is no {', '.join(parts - set(PARTS))}")
    print_machine()
    rows: list[Row] = []
    memory: list[Memory] = []
    if parts & {"engine", "pydvl", "sequential"}:
        setting = prepare(5 if quick else 10, arguments.cache)
        if "engine" in parts:
            rows += run_engine(setting, (1, 2))
        if "pydvl" in parts and (python := pydvl_python(arguments.cache)):
            rows += run_peers(setting, python, quick)
        if "sequential" in parts:
            rows += run_sequential(setting, quick)
    if "scaling" in parts:
        rows += run_scaling(quick)
    if "memory" in parts:
        memory = run_memory(quick)
        rows += [one.row for one in memory]
    if "cuda" in parts:
        rows += cuda_rows()
    print("\ntargets", *targets(rows, memory), sep="\n")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))


if __name__ == "__main__":
    main()
