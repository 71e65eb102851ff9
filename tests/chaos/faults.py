"""The faults. Each takes a trial, and ends by letting the command go on."""

from __future__ import annotations

import random
import resource
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import psutil

from tests.chaos import services
from tests.chaos.checks import living, whole_results
from tests.chaos.processes import PATIENCE
from tests.chaos.surroundings import Surroundings
from tests.chaos.trial import Missed, Trial
from unshapley.errors import BusyError, InputError

BUSY, WRONG_INPUT = BusyError.exit_code, InputError.exit_code
FAILED = 1
MIB = 2**20


@dataclass(frozen=True)
class Fault:
    """do: what happens; repetitions: by default; fresh: every so many repetitions (0: never) the
    command runs as a user starts it, in a new interpreter with a server of its own.
    """

    name: str
    subject: str
    do: Callable[[Trial, Surroundings], None]
    repetitions: int = 5
    fresh: int = 0


def stopped(signum: int, trial: Trial, _around: Surroundings) -> None:
    """A signal at a random moment."""
    command = trial.begin()
    trial.reach_moment(command)
    if trial.kill(command, signum) == 0:
        raise Missed  # it had ended already
    trial.go_on()


def api_killed(trial: Trial, around: Surroundings) -> None:
    """Prefect's API server is killed at a random moment, and comes back within seconds."""
    server = around.fragile.running()
    trial.env = {**trial.env, **server.env}
    command = trial.begin()
    trial.reach_moment(command)
    server.kill()
    time.sleep(trial.rng.uniform(0, 5))
    server.start()
    trial.end(command, {0, FAILED})
    trial.go_on()


def own_server_killed(trial: Trial, _around: Surroundings) -> None:
    """The server that the command itself has started is killed."""
    command = trial.begin()
    trial.reach_moment(command)
    servers = [p for p in command.family if services.APP in p.cmdline()]
    if not servers:
        command.end()
        raise Missed
    servers[0].kill()
    trial.end(command, {0, FAILED})
    trial.go_on()


def sqlite_locked(trial: Trial, around: Surroundings) -> None:
    """Somebody else holds the SQLite file of Prefect's server for some seconds."""
    server = around.fragile.running()
    trial.env = {**trial.env, **server.env}
    command = trial.begin()
    trial.reach_moment(command)
    with services.locked_sqlite(server.home):
        command.ends_within(time.monotonic() - command.begin + trial.rng.uniform(2, 20))
    trial.end(command, {0, FAILED})
    trial.go_on()


def postgres_restarted(trial: Trial, around: Surroundings) -> None:
    """The PostgreSQL of Prefect's server crashes, and is back within seconds."""
    database, server = around.postgres, around.on_postgres.running()
    trial.env = {**trial.env, **server.env}
    command = trial.begin()
    trial.reach_moment(command)
    database.crash()
    time.sleep(trial.rng.uniform(0, 5))
    database.start()
    trial.end(command, {0, FAILED})
    trial.go_on()


def pool_process_killed(trial: Trial, _around: Surroundings) -> None:
    """One of the processes that measure is killed."""
    command = trial.begin()
    trial.reach_moment(command)
    workers = [p for p in command.family if "spawn_main" in " ".join(p.cmdline())]
    if not workers:
        command.end()
        raise Missed
    trial.rng.choice(workers).kill()
    trial.end(command, {0, FAILED})
    trial.go_on()


def worker_killed(trial: Trial, around: Surroundings) -> None:
    """Prefect's worker is killed; the run that it has started ends by itself, or with it."""
    worker = around.worker
    process = worker.start()
    worker.ask_for(trial.project.root)
    moment = trial.rng.uniform(5, 40)  # it looks for work every 10 s, and starts an interpreter
    trial.note["moment"] = round(moment, 2)
    time.sleep(moment)
    family = process.children(recursive=True)
    worker.kill()
    if not family:
        raise Missed
    trial.problems += living(family, PATIENCE)
    trial.go_on()


def disk_full(trial: Trial, _around: Surroundings) -> None:
    """The file system holds less than the run writes; then somebody makes room."""
    disk = trial.folder / "disk"
    # files take whole pages there
    needed = 4096 * (len(trial.expected.results) + len(trial.expected.outcome))
    with services.small_disk(disk, 64 * MIB):
        trial.project = trial.subject.copy(trial.project.root, disk / "project")
        used = psutil.disk_usage(str(disk)).used
        services.mount(disk, used + trial.rng.randrange(4096, needed), again=True)
        code = trial.end(trial.begin(), {0, FAILED, WRONG_INPUT})
        if code == 0:
            raise Missed
        services.mount(disk, 256 * MIB, again=True)
        trial.go_on()


def results_removed(trial: Trial, _around: Surroundings) -> None:
    """Some kept results are removed, in part while the next run reads them."""
    trial.end(trial.begin("before"), {0})
    paths = sorted(path for path in trial.project.results.iterdir())
    chosen = trial.rng.sample(paths, trial.rng.randint(1, len(paths)))
    cut = trial.rng.randint(0, len(chosen))
    for path in chosen[:cut]:
        path.unlink()
    command = trial.begin()
    with suppress(Missed):
        trial.reach_moment(command)
        for path in chosen[cut:]:
            path.unlink(missing_ok=True)
    trial.end(command, {0})
    trial.go_on()


def result_altered(trial: Trial, _around: Surroundings) -> None:
    """A bit of some kept results flips, or they are cut short."""
    trial.end(trial.begin("before"), {0})
    paths = sorted(trial.project.results.iterdir())
    for path in trial.rng.sample(paths, trial.rng.randint(1, 4)):
        path.write_bytes(damaged(path.read_bytes(), trial.rng))
    trial.note["damaged"] = len(paths) - len(whole_results(trial.project))
    trial.go_on()


def damaged(content: bytes, rng: random.Random) -> bytes:
    """`content` with one bit flipped, or without its end."""
    at = rng.randrange(len(content))
    if rng.random() < 0.25:
        return content[:at]
    return content[:at] + bytes([content[at] ^ 1 << rng.randrange(7)]) + content[at + 1 :]


def clock_set_back(trial: Trial, _around: Surroundings) -> None:
    """The clock of the machine is set back while a run works, which is killed then in half of the
    cases; else it must not mind.
    """
    clock = services.Clock(trial.folder)
    back = trial.rng.choice([90, 3600, 86400, 40 * 86400])
    command = trial.begin(**clock.env)
    trial.reach_moment(command)
    clock.set_by(-back)
    killed = trial.rng.random() < 0.5
    trial.note |= {"back": back, "killed": killed}
    if killed:
        trial.kill(command, signal.SIGKILL)
    else:
        trial.end(command, {0})
    trial.go_on(env=clock.env)


def two_at_once(trial: Trial, _around: Surroundings) -> None:
    """A second command starts while the first works, which is killed in half of the cases."""
    first = trial.begin("first")
    trial.reach_moment(first)
    second = trial.begin("second")
    if trial.rng.random() < 0.5:
        time.sleep(trial.rng.uniform(0, 2))
        trial.kill(first, signal.SIGKILL)
    # who takes the lock first is not who was started first, where both still begin
    codes = [trial.end(first, {0, -signal.SIGKILL, BUSY}), trial.end(second, {0, BUSY})]
    if codes == [BUSY, BUSY]:
        trial.problems.append("each of two was told that the other one works")
    trial.note["busy"] = BUSY in codes
    trial.go_on()


LOADER = 127
"""How glibc ends a process that it cannot give memory for a thread's own data."""


def out_of_memory(trial: Trial, _around: Surroundings) -> None:
    """The kernel grants the process little or nothing more from a random moment on."""
    command = trial.begin()
    trial.reach_moment(command)
    with suppress(psutil.NoSuchProcess):
        limit = command.process.memory_info().vms + trial.rng.randrange(64 * MIB)
        command.process.rlimit(resource.RLIMIT_AS, (limit, limit))
    # a library may end the process itself where it gets no memory
    crashes = {-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGTRAP, -signal.SIGBUS, -signal.SIGKILL}
    trial.end(command, {0, FAILED, WRONG_INPUT, LOADER, *crashes})
    trial.go_on()


KILL, TERM = partial(stopped, signal.SIGKILL), partial(stopped, signal.SIGTERM)
FAULTS = [
    *(
        Fault(f"{name} of {subject}", subject, do, repetitions, fresh=10)
        for subject, repetitions in {"run": 30, "pretrain": 30, "audit": 30, "refresh": 15, "refresh of a delivery": 15}.items()
        for name, do in (("SIGKILL", KILL), ("SIGTERM", TERM))
    ),
    Fault("API server killed and restarted", "run", api_killed),
    Fault("own server of a run killed", "run", own_server_killed, 3, fresh=1),
    Fault("SQLite locked by another process", "run", sqlite_locked),
    Fault("PostgreSQL restarted", "run", postgres_restarted),
    Fault("measuring process killed", "run with processes", pool_process_killed, 3),
    Fault("Prefect's worker killed", "run", worker_killed, 3),
    Fault("disk full", "run", disk_full, 10),
    Fault("results removed", "run", results_removed, 10),
    Fault("a result altered", "run", result_altered, 10),
    Fault("clock set back", "run", clock_set_back, 6, fresh=1),
    Fault("two runs at once", "run", two_at_once, 10),
    Fault("two audits at once", "audit", two_at_once, 5),
    Fault("two refreshes at once", "refresh", two_at_once, 5),
    Fault("out of memory", "run", out_of_memory, 10),
    Fault("out of memory in an audit", "audit", out_of_memory, 5),
]  # fmt: skip
