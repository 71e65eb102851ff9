"""How far estimators are from exact values: ours, shapiq's and pyDVL's, on games with known values.

`python benchmarks/estimators.py [--quick] [--seeds 30] [--workers 2] [--size N]… [--json FILE]`;
`--coverage`: only how often the intervals of `auto` hold, 500 repetitions; `--unseen`: the same on
random games, another one for each repetition; `--aggregation`: what 100,000 coalitions of 100
providers cost. Rows are kept in .benchmarks/, so it can be resumed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

from estimator_cells import CACHE, PYDVL, SHAPIQ, Cell, Job, Row, cells, run, unseen_cells
from estimator_verdicts import print_verdicts
from speed_peers import pydvl_python

from unshapley.environment import versions
from unshapley.estimators import ESTIMATORS
from unshapley.estimators.shapiq_adapter import PREFIX

CHOSEN_SIZES = (8, 10, 12, 20, 50, 100)
AGGREGATED = ("permutations", "auto")
GIGABYTES = 8
"""An aggregation that needs more is stopped."""


def jobs(chosen: Sequence[Cell], seeds: int, python: str) -> Iterator[Job]:
    """Every estimator of every library in every cell."""
    for cell in chosen:
        for name in ("auto", *ESTIMATORS):
            if name not in ("exact", "gaussian_process"):  # auto is the latter in every cell
                yield Job(cell, name, "unshapley", seeds)
        for name in SHAPIQ if find_spec("shapiq") else ():
            yield Job(cell, PREFIX + name, "shapiq", seeds)
        for name in PYDVL if python else ():
            yield Job(cell, name, "pyDVL", seeds, python)


def measured(wanted: Sequence[Job], workers: int) -> list[Row]:
    """The rows of all jobs, with progress on stderr."""
    rows = {}
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting = {pool.submit(run, job): job for job in wanted}
        for done, future in enumerate(as_completed(waiting), 1):
            rows[waiting[future]] = future.result()
            if done % 25 == 0 or done == len(wanted):
                print(f"{done} of {len(wanted)}", file=sys.stderr, flush=True)
    return [row for job in wanted if (row := rows[job]) is not None]


def print_rows(rows: Sequence[Row]) -> None:
    print(
        f"{'game':27} {'n':>3} {'budget':>6} {'estimator':30} {'asked':>6} {'rel_l2':>7} "
        f"{'MAE':>9} {'Spearman':>8} {'top 3':>5} {'cover':>6} {'pairs':>6} {'s':>7}"
    )
    for row in rows:
        held = ("    –" if c is None else f"{c:.3f}" for c in (row.coverage, row.pair_coverage))
        one, pairs = held
        name = f"pyDVL:{row.estimator}" if row.library == "pyDVL" else row.estimator
        print(
            f"{row.game:27} {row.n:3} {row.budget:6} {name:30.30} {row.asked:6.0f} "
            f"{row.rel_l2:7.4f} {row.mae:9.6f} {row.spearman:8.3f} {row.top3_recall:5.2f} "
            f"{one:>6} {pairs:>6} {row.seconds:7.3f}"
        )


def print_aggregation() -> None:
    """What an estimate of 100,000 coalitions × 100 providers costs, a process each."""
    for name in AGGREGATED:
        worker = Path(__file__).with_name("aggregation.py")
        command = [sys.executable, str(worker), name, str(GIGABYTES)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        last = (done.stdout or done.stderr).strip().splitlines()[-1:]
        verdict = "missed" if done.returncode else json.loads(last[0])["verdict"]
        print(f"{verdict}  aggregation by {name}: {''.join(last)[:200]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="3 seeds")
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--unseen", action="store_true", help="coverage on random games")
    parser.add_argument(
        "--repetitions", type=int, default=500, help="for each cell of --coverage or --unseen"
    )
    parser.add_argument("--aggregation", action="store_true")
    parser.add_argument("--no-pydvl", action="store_true")
    parser.add_argument("--size", type=int, action="append", default=[], help="may be repeated")
    parser.add_argument("--budget", type=int, action="append", default=[], help="may be repeated")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print(
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, "
        + ", ".join(f"{name} {version}" for name, version in versions().items())
    )
    if arguments.aggregation:
        print_aggregation()
        return
    seeds = 3 if arguments.quick else arguments.seeds
    coverage = arguments.coverage or arguments.unseen
    if arguments.unseen:
        chosen = list(unseen_cells(arguments.size))
    else:
        chosen = list(cells(arguments.size or (CHOSEN_SIZES if coverage else ())))
    chosen = [c for c in chosen if not arguments.budget or c.budget in arguments.budget]
    if coverage:
        wanted = [Job(cell, "auto", "unshapley", arguments.repetitions) for cell in chosen]
    else:
        python = None if arguments.no_pydvl else pydvl_python(CACHE)
        wanted = list(jobs(chosen, seeds, str(python or "")))
    rows = measured(wanted, arguments.workers)
    print(f"seeds 0 … {wanted[0].seeds - 1} of the plans; budgets count distinct coalitions")
    print_rows(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    if not coverage:
        print_verdicts(rows)


if __name__ == "__main__":
    main()
