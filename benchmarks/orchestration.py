"""What orchestration costs: over a bare loop by runner, and on a server by chunk and by run; and
what the process that drives a run takes of memory.

    python benchmarks/orchestration.py --overhead --runners threads,dask --coalitions 100,1000
    python benchmarks/orchestration.py --chunks 10000 --databases postgres,sqlite
    python benchmarks/orchestration.py --runs 20 --databases postgres
    python benchmarks/orchestration.py --memory 100000

Prints tables and is no test. Seconds of processors count more than those of the clock where the
machine does other things too.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from flows.runtime.settings import configure

HOME = Path(tempfile.mkdtemp(prefix="unshapley-orchestration-"))
os.environ["PREFECT_HOME"] = str(HOME / "home")
configure(HOME, verbose=False)

import numpy as np  # noqa: E402
import psutil  # noqa: E402
from prefect import flow  # noqa: E402
from prefect_servers import PrefectServer, serving  # noqa: E402

from flows.runtime.memory import peak_mb, resident_mb  # noqa: E402
from flows.runtime.runners import opened_workers  # noqa: E402
from flows.runtime.tracking import Tracker  # noqa: E402
from flows.valuation import valuation  # noqa: E402
from flows.valuation_steps.in_tasks import InTasks  # noqa: E402
from flows.valuation_steps.loading import name_source  # noqa: E402
from flows.valuation_steps.run import ValuationRun  # noqa: E402
from flows.valuation_steps.validating import ValidatedTables  # noqa: E402
from tasks.worker import WORKER, load_here, measure_chunk, own_code_of  # noqa: E402
from unshapley.config import Params, load_params  # noqa: E402
from unshapley.game.coalitions import batches_by_size  # noqa: E402
from unshapley.game.measuring import packed  # noqa: E402
from unshapley.game.utility import RESAMPLES  # noqa: E402
from unshapley.project import Project  # noqa: E402
from unshapley.unlearning import build_unlearner  # noqa: E402
from unshapley.valuing.execution import PLANNED, Series  # noqa: E402
from unshapley.valuing.planning import plan_coalitions  # noqa: E402

TURNS = 3
"""Loop and tasks are measured by turns, so often; the least stands."""
TABLES = ValidatedTables("benchmark", [], {})


def digits(folder: Path, *settings: str) -> Project:
    """The embedded digits by form, pretrained: 14 providers, valued by newton."""
    given = ("valuation.unlearner=newton", *settings)
    begin = ["init", folder, *(part for setting in given for part in ("--set", setting))]
    for command in (begin, *([step, "-p", folder] for step in ("prepare", "suites", "pretrain"))):
        words = [sys.executable, "-c", "from flows.cli import main; main()", *map(str, command)]
        subprocess.run(words, check=True, capture_output=True)
    return Project(folder)


def cpu() -> float:
    """Seconds of processor time of this process and of those that it has started and that live."""
    me = psutil.Process()
    return sum(sum(p.cpu_times()[:2]) for p in [me, *me.children(recursive=True)])


def keep(row: dict[str, float], name: str, wall: float, spent: float) -> None:
    """The least of all turns."""
    row[f"{name} s"] = min(row.get(f"{name} s", wall), wall)
    row[f"{name} CPU s"] = min(row.get(f"{name} CPU s", spent), spent)


def overhead(runner: str, coalitions: int, project: Project) -> dict[str, float]:
    """A plan measured by a bare loop, then by tasks: seconds of the clock and of processors."""
    base = load_params(project.params)
    run_of = base.run.model_copy(update={"runner": runner})
    settings = base.valuation.model_copy(update={"budget": coalitions})
    params = base.model_copy(update={"run": run_of, "valuation": settings})
    row: dict[str, float] = {}
    shutil.rmtree(project.results, ignore_errors=True)

    @flow(name="orchestration")
    def measured() -> None:
        with opened_workers(params) as workers:
            run = ValuationRun(project, params, workers, Tracker(workers=workers.count))
            unlearner = build_unlearner("newton")
            source = name_source(run, TABLES, unlearner.needs)
            game = WORKER.load(source)
            workers.engine.everywhere(load_here, source)
            setup = plan_coalitions(game, unlearner, settings)
            plan = setup.plan.coalitions
            parts = [plan[batch] for batch in batches_by_size(plan, setup.chunk_size)]
            own = own_code_of(setup.unlearner, game.utilities)
            execution = InTasks(run, source)
            few = Series(PLANNED, "warm", 1)
            execution.measure(setup, plan[: 4 * workers.count], few, size=2)
            measure_chunk(source, setup.unlearner, parts[0], {}, own)  # warm, too
            row["chunks"], row["size"] = len(parts), setup.chunk_size
            for _ in range(TURNS):
                wall, spent = time.perf_counter(), cpu()
                for part in parts:
                    measure_chunk(source, setup.unlearner, part, {}, own)
                keep(row, "loop", time.perf_counter() - wall, cpu() - spent)
                shutil.rmtree(project.results)  # or what is kept would be recalled
                wall, spent = time.perf_counter(), cpu()
                execution.measure(setup, plan, Series(PLANNED, setup.plan.estimator, 0))
                keep(row, "tasks", time.perf_counter() - wall, cpu() - spent)

    measured()
    row["CPU over the loop"] = row["tasks CPU s"] / row["loop CPU s"] - 1
    row["CPU ms a chunk over it"] = 1e3 * (row["tasks CPU s"] - row["loop CPU s"]) / row["chunks"]
    return row


def many_chunks(count: int, server: PrefectServer, project: Project) -> dict[str, object]:
    """One run of so many chunks of one coalition each: time from a finished one to the next."""
    params = load_params(project.params)
    shutil.rmtree(project.results, ignore_errors=True)
    finished: list[float] = []

    class Timed(Tracker):
        def chunk(self, result: dict, *, resumed: bool) -> None:  # type: ignore[type-arg]
            finished.append(time.perf_counter())

    @flow(name="orchestration")
    def measured(params: Params) -> int:
        with opened_workers(params) as workers:
            run = ValuationRun(
                project, params, workers, Timed({"project": "benchmark"}, workers.count)
            )
            unlearner = build_unlearner("newton")
            source = name_source(run, TABLES, unlearner.needs)
            settings = params.valuation.model_copy(update={"budget": count})
            setup = replace(plan_coalitions(WORKER.load(source), unlearner, settings), chunk_size=1)
            series = Series(PLANNED, setup.plan.estimator, 0)
            plan = setup.plan.coalitions[:count]
            return len(InTasks(run, source).measure(setup, plan, series, tracked=True))

    begin, before = time.perf_counter(), server.cpu()
    done = measured(params)
    steps = 1e3 * np.diff(sorted(finished))
    kept = sum(path.name.startswith(PLANNED) for path in project.results.iterdir())
    return {
        "chunks": done, "kept": kept, "recorded": server.recorded(done),
        "s": round(time.perf_counter() - begin), "median ms": round(float(np.median(steps)), 1),
        "p99 ms": round(float(np.quantile(steps, 0.99)), 1), "server MiB": round(server.peak_mb),
        "server CPU s": round(server.cpu() - before), "locked": server.locked(),
    }  # fmt: skip


class Idle:
    """An engine that gives what chunks give, and computes nothing of it."""

    def call(self, _: object, *arguments: Any) -> tuple[dict[str, object], dict[str, float]]:
        source, _, coalitions, *_ = arguments
        share = coalitions.mean(axis=1)
        samples = np.repeat(share[:, None], RESAMPLES, axis=1)
        content = {"utilities": dict.fromkeys(source.utilities, share.tolist())}
        return {**content, "resampled": packed(samples)}, {"unlearn": 0.0, "evaluate": 0.0}


def memory(coalitions: int, project: Project) -> dict[str, float]:
    """What this process holds before a plan is measured, at most, and afterwards, with its result,
    in MiB; the server is another process.
    """
    params = load_params(project.params)
    row: dict[str, float] = {}

    @flow(name="orchestration")
    def measured() -> None:
        with opened_workers(params) as workers:
            idle = replace(workers, engine=Idle())
            run = ValuationRun(project, params, idle, Tracker(workers=workers.count))
            unlearner = build_unlearner("newton")
            source = name_source(run, TABLES, unlearner.needs)
            setup = plan_coalitions(WORKER.load(source), unlearner, params.valuation)
            plan = np.random.default_rng(0).random((coalitions, len(source.players))) < 0.5
            row["chunk"], row["before MiB"] = setup.chunk_size, resident_mb()
            begin = time.perf_counter()
            done = InTasks(run, source).measure(setup, plan, Series(PLANNED, "memory", 0))
            row["s"] = time.perf_counter() - begin
            row["peak MiB"], row["after MiB"] = peak_mb(), resident_mb()
            row["sum"] = float(np.sum(done.primary_utilities))

    measured()
    return row


def _value(root: Path) -> None:
    valuation(project=root)


def many_runs(count: int, server: PrefectServer, project: Project) -> dict[str, object]:
    """So many valuations at once, each of a project and in a process of its own."""
    roots = [Path(shutil.copytree(project.root, HOME / f"run-{i}")) for i in range(count)]
    forked = multiprocessing.get_context("fork")  # they share what is imported
    processes = [forked.Process(target=_value, args=(root,)) for root in roots]
    begin = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    elapsed = time.perf_counter() - begin
    done = [root for root in roots if (root / "data" / "valuation" / "values.csv").is_file()]
    values = {(root / "data" / "valuation" / "values.csv").read_bytes() for root in done}
    ended = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    return {
        "runs": count, "published": len(done), "different values": len(values),
        "completed at the server": server.ask("flow_runs/count", ended), "s": round(elapsed),
        "server MiB": round(server.peak_mb), "locked": server.locked(),
    }  # fmt: skip


def show(title: str, row: dict[str, object]) -> None:
    """A line of JSON, which the table of the README is made of."""
    print(json.dumps({"what": title, **row, "load": os.getloadavg()[0]}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--overhead", action="store_true")
    parser.add_argument("--runners", default="threads,processes,dask,ray")
    parser.add_argument("--coalitions", default="100,1000,10000")
    parser.add_argument("--chunks", type=int)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--databases", default="postgres,sqlite")
    parser.add_argument("--memory", type=int, help="coalitions of a plan")
    chosen = parser.parse_args()
    if chosen.memory:
        with serving("sqlite", HOME):
            row = memory(chosen.memory, digits(HOME / "digits"))
            show(f"{chosen.memory} coalitions", {k: round(v, 1) for k, v in row.items()})
        return
    if chosen.overhead:
        project = digits(HOME / "digits")
        with serving("sqlite", HOME):
            for count in map(int, chosen.coalitions.split(",")):
                for runner in chosen.runners.split(","):
                    row = overhead(runner, count, project)
                    numbers = {k: round(v, 3) for k, v in row.items()}
                    show(f"{runner}, {count} coalitions", numbers)
    for database in chosen.databases.split(","):
        if chosen.chunks:
            with serving(database, Path(tempfile.mkdtemp(dir=HOME))) as server:
                project = digits(HOME / f"chunks-{database}")
                show(f"{database}, one run", many_chunks(chosen.chunks, server, project))
        if chosen.runs:
            with serving(database, Path(tempfile.mkdtemp(dir=HOME))) as server:
                budget = (
                    "valuation.budget=200",
                    "fidelity.publish_unchecked=true",
                    "fidelity.coalitions=0",
                )
                project = digits(HOME / f"runs-{database}", *budget)
                show(f"{database}, runs at once", many_runs(chosen.runs, server, project))


if __name__ == "__main__":
    try:
        main()
    finally:
        shutil.rmtree(HOME, ignore_errors=True)
