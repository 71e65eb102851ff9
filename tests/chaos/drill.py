"""Run faults, repetition by repetition, until all are done or the time is up."""

from __future__ import annotations

import os
import random
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

# all that a command imports, so that a fork of this process starts at once
import tasks.expectations.validation  # noqa: F401
from tests.chaos import record
from tests.chaos.checks import whole_results
from tests.chaos.faults import Fault
from tests.chaos.processes import loaded, preload, start
from tests.chaos.record import Line
from tests.chaos.services import NotHereError
from tests.chaos.subjects import SUBJECTS, Subject, build_bases
from tests.chaos.surroundings import Surroundings
from tests.chaos.trial import Missed, Trial, Undisturbed
from tests.flows.checkouts import ENV, Checkout
from unshapley.environment import source_hash

CODE = source_hash("unshapley", "tasks", "flows")
TRIES = 6
"""Moments that are drawn before a repetition counts as missed."""


@dataclass
class Drill:
    """folder: where projects are built and broken; record: what was done; seed: draws all moments."""

    folder: Path
    record: Path
    seed: int = 0
    around: Surroundings = field(init=False)
    known: dict[tuple[str, bool], Undisturbed] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.around = Surroundings(self.folder / "services")

    def run(self, faults: Sequence[Fault], until: float, say: Callable[[str], None]) -> bool:
        """Whether all that was done is well. until: time on the monotonic clock."""
        left = list(self._left(faults))
        for number, (fault, repetition) in enumerate(left):
            if time.monotonic() > until:
                say(f"time is up, {len(left) - number} repetitions are left for another start")
                break
            line = self.repeat(fault, repetition)
            record.append(self.record, line)
            say(_told(line))
        return all(line.well for line in record.read(self.record) if line.code == CODE)

    def _left(self, faults: Sequence[Fault]) -> Iterator[tuple[Fault, int]]:
        """What the record does not hold as yet, a repetition of every fault at a time."""
        done = {(one.fault, one.repetition) for one in record.read(self.record) if one.code == CODE}
        for repetition in range(max((fault.repetitions for fault in faults), default=0)):
            for fault in faults:
                if repetition < fault.repetitions and (fault.name, repetition) not in done:
                    yield fault, repetition

    def repeat(self, fault: Fault, repetition: int) -> Line:
        """One repetition, whose moments are drawn by seed, fault and number; drawn again where the
        command was faster.
        """
        fresh = bool(fault.fresh) and (repetition + 1) % fault.fresh == 0
        begin, problems = time.monotonic(), list[str]()
        hit, skipped, missed = False, "", 0
        while not (hit or skipped) and missed < TRIES:
            trial = self._trial(SUBJECTS[fault.subject], fresh)
            trial.rng = random.Random(f"{self.seed}/{fault.name}/{repetition}/{missed}")
            try:
                fault.do(trial, self.around)
                hit = True
            except Missed:
                missed += 1
                self._learn(fault.subject, fresh, trial.took)
            except NotHereError as error:
                skipped = str(error)
            except Exception:  # noqa: BLE001 (a defect of the drill is a problem too)
                trial.problems.append(traceback.format_exc()[-600:])
            problems = trial.problems
            hit = hit or bool(problems)
        return Line(
            fault.name, repetition, self.seed, CODE,
            hit=hit, missed=missed, resumed=trial.resumed, equal=trial.equal, beyond=trial.beyond,
            seconds=round(time.monotonic() - begin, 1), problems=tuple(problems), skipped=skipped,
            note={**trial.note, "fresh": fresh},
        )  # fmt: skip

    def _learn(self, subject: str, fresh: bool, seconds: float | None) -> None:
        """The machine is busier, or less so, than before: draw later moments from what was seen."""
        if seconds is not None:
            known = self.known[subject, fresh]
            self.known[subject, fresh] = replace(known, seconds={fresh: seconds})

    def _trial(self, subject: Subject, fresh: bool) -> Trial:
        expected = self._undisturbed(subject, fresh)
        return self._new(subject, expected, fresh)

    def _new(self, subject: Subject, expected: Undisturbed, fresh: bool) -> Trial:
        env = {**_user(), **self.around.api.env}
        place = self.folder / "trial"
        return Trial(subject, self.folder / "bases", place, expected, env, random.Random(0), fresh)

    def _undisturbed(self, subject: Subject, fresh: bool) -> Undisturbed:
        """What the command leaves that nothing happens to; measured once for each way to start."""
        if (subject.name, fresh) not in self.known:
            trial, code, seconds = self._measured(subject, fresh)
            if not fresh:
                preload(loaded(trial.folder / "broken").read_text().split("\n"))
                trial, code, seconds = self._measured(subject, fresh)
            if code or trial.problems:
                raise RuntimeError(f"{subject.name}, undisturbed: {trial.problems}")
            outcome, results = subject.outcome(trial.project), whole_results(trial.project)
            other = self.known.get((subject.name, not fresh))
            if other and other.outcome != outcome:
                raise RuntimeError(f"{subject.name}: a fork and a new interpreter differ")
            self.known[subject.name, fresh] = Undisturbed(outcome, results, {fresh: seconds})
        return self.known[subject.name, fresh]

    def _measured(self, subject: Subject, fresh: bool) -> tuple[Trial, int, float]:
        """A trial in which nothing happens, its exit code and its duration."""
        trial = self._new(subject, Undisturbed({}, {}, {}), fresh)
        command = trial.begin()
        code = trial.end(command, {0})
        return trial, code, time.monotonic() - command.begin


@contextmanager
def prepared(record_file: Path, seed: int) -> Iterator[Drill]:
    """A drill with its projects built, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as name:
        drill = Drill(Path(name), record_file, seed)
        try:
            _build(drill.folder / "bases", drill)
            yield drill
        finally:
            drill.around.stop()


def _build(bases: Path, drill: Drill) -> None:
    """In a fork, so that nothing of it stays in this process, from which all commands are forked."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            build_bases(bases)
            code = 0
        except BaseException:  # noqa: BLE001 (told by the exit code)
            traceback.print_exc()
        finally:
            os._exit(code)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise RuntimeError("the projects of the drill cannot be built")
    place = Checkout(bases / "valued" / "project")
    env = {**_user(), **drill.around.api.env}
    command = start(["refresh", "-p", place.root], drill.folder / "first", env)
    if command.wait():
        raise RuntimeError(f"the first refresh failed: {command.printed()}")


def _user() -> dict[str, str]:
    return {name: value for name, value in ENV.items() if name != "PREFECT_HOME"}


def _told(line: Line) -> str:
    state = line.skipped or ("missed" if not line.hit else "well" if line.well else "PROBLEM")
    found = "".join(f"\n    {problem}" for problem in line.problems)
    return f"{line.fault} {line.repetition}: {state}, {line.seconds:.0f} s {line.note}{found}"
