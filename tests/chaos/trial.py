"""One repetition of a fault: a command begins, something happens to it, the same command goes on."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.chaos import checks
from tests.chaos.processes import PATIENCE, Command, start
from tests.chaos.subjects import Subject
from tests.flows.test_valuation import chunks_of

STOPS_WITHIN = 25.0
"""Seconds for an orderly end after SIGTERM, on a busy machine."""
LATEST = 1.05
"""Moments are drawn up to here, in durations of the command: a machine that is busier now is noticed."""


@dataclass(frozen=True)
class Undisturbed:
    """What a command leaves that nothing happens to. results: kept ones by name, with hash; seconds:
    its duration by whether it is `fresh`.
    """

    outcome: Mapping[str, Any]
    results: Mapping[str, str]
    seconds: Mapping[bool, float]


class Missed(Exception):  # noqa: N818 (no error: the command was faster)
    """The command ended before the moment of the fault."""


@dataclass
class Trial:
    """problems: what was found to be wrong, empty where all is well; beyond: chunks computed that
    were neither missing nor in flight; note: what happened, for the record; took: seconds of a command that
    ended before its moment.
    """

    subject: Subject
    base: Path
    folder: Path
    expected: Undisturbed
    env: dict[str, str]
    rng: random.Random
    fresh: bool = False
    problems: list[str] = field(default_factory=list)
    note: dict[str, Any] = field(default_factory=dict)
    resumed: bool = False
    equal: bool = False
    beyond: int | None = None
    kept: dict[str, str] = field(default_factory=dict)
    took: float | None = None

    def __post_init__(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.project = self.subject.copy(self.base / self.subject.base, self.place)

    @property
    def place(self) -> Path:
        return self.folder / "place"

    def begin(self, name: str = "broken", **env: str) -> Command:
        """The command, on the trial's copy of the project."""
        words = self.subject.words(self.project)
        # two servers on one SQLite file lock each other out
        own = {"PREFECT_HOME": str(self.base / "prefect")} if self.fresh else {}
        return start(words, self.folder / name, {**self.env, **own, **env}, fresh=self.fresh)

    def reach_moment(self, command: Command) -> None:
        """Wait until a moment that the seed draws from the duration of an undisturbed command."""
        moment = self.rng.uniform(0.0, LATEST * self.expected.seconds[self.fresh])
        self.note["moment"] = round(moment, 2)
        if command.ends_within(moment):
            self.took = time.monotonic() - command.begin
            raise Missed
        command.look()

    def kill(self, command: Command, signum: int) -> int:
        """Send a signal and wait for the end; nothing may be lost, and nobody may be left."""
        command.process.send_signal(signum)
        return self.end(command, {-signum, 128 + signum, 0}, within=STOPS_WITHIN)

    def end(self, command: Command, codes: set[int], within: float = PATIENCE) -> int:
        """Wait for the end with one of these exit codes."""
        code = -signal.SIGKILL
        try:
            code = command.wait(within)
            if code not in codes:
                self.problems.append(f"exit code {code}: {command.printed()[-300:]}")
        except psutil.TimeoutExpired:
            self.problems.append(f"did not end within {within:.0f} s")
            command.end()
        self.note.setdefault("codes", []).append(code)
        if "Traceback" in command.printed():
            self.note["traceback"] = command.printed().strip().splitlines()[-1][:200]
        self.problems += checks.living(command.family, self.subject.outlives)
        return code

    def settle(self) -> None:
        """After the end of what was broken: locks are free, and what is published is whole."""
        if not checks.unlocked_within(self.project.root, self.subject.outlives):
            self.problems += checks.held_locks(self.project.root)
        self.problems += checks.mixed(self.project)
        found = checks.whole_results(self.project)
        self.problems += checks.lost(self.kept, found)
        self.kept = found

    def go_on(self, *, env: Mapping[str, str] | None = None) -> None:
        """The same command again; then everything must be as if nothing had happened."""
        self.settle()
        began = time.time()
        command = self.begin("resumed", **(env or {}))
        self.resumed = self.end(command, {0}) == 0
        self.examine(began)

    def examine(self, began: float) -> None:
        """Compare with the undisturbed command. began: time at which the resumed one started."""
        now = checks.whole_results(self.project)
        self.problems += checks.lost(self.kept, now)
        strange = self.expected.results.keys() ^ now.keys()
        self.problems += [f"result missing or unforeseen: {name[:40]}" for name in strange]
        try:
            changes = checks.different(self.expected.outcome, self.subject.outcome(self.project))
        except (OSError, ValueError, AssertionError) as error:
            changes = [f"differs: {type(error).__name__} {error}"]
        self.equal = not changes
        self.problems += changes + checks.left(self.project.root) + checks.mixed(self.project)
        self.problems += checks.held_locks(self.project.root)
        if self.subject.chunks:
            self._count_chunks(began)

    def _count_chunks(self, began: float) -> None:
        run = self.project.valuation / "run.json"
        missing = self.expected.results.keys() - self.kept.keys()
        planned = sum(name.startswith("chunk-") for name in missing)
        computed = 0
        if run.is_file() and run.stat().st_mtime >= began:
            computed = chunks_of(self.project)["computed"]
        self.beyond = max(0, computed - planned)
        if self.beyond:
            self.problems.append(f"{computed} chunks computed, {planned} were missing")
