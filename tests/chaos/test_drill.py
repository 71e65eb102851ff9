"""The drill itself, and that it would notice what it is there for."""

from __future__ import annotations

import fcntl
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.checks import whole_results
from tests.chaos.faults import damaged
from tests.chaos.record import Line, append, read, table
from tests.chaos.services import Clock, NotHereError
from tests.chaos.subjects import SUBJECTS
from tests.chaos.trial import Trial, Undisturbed
from unshapley.project import Project

HOME = Path(__file__).resolve().parents[2]
RUN = SUBJECTS["run"]
NOTHING_SINCE = float("inf")


@pytest.mark.drill
def test_after_every_fault_the_same_command_goes_on_to_the_same_bits():
    """A second start goes on with what the record does not hold as yet."""
    done = subprocess.run([sys.executable, "-m", "tests.chaos"], cwd=HOME)
    assert done.returncode == 0


@pytest.fixture
def trial(valued: Project, tmp_path: Path) -> Trial:
    """A valued project after its command, as if nothing had happened."""
    expected = Undisturbed(RUN.outcome(valued), whole_results(valued), {})
    bases = tmp_path / "bases"
    bases.mkdir()
    (bases / RUN.base).symlink_to(valued.root)
    trial = Trial(RUN, bases, tmp_path / "trial", expected, {}, random.Random(0))
    trial.settle()
    return trial


def remove_a_result(project: Project) -> None:
    next(project.results.glob("chunk-*")).unlink()


def alter_a_result(project: Project) -> None:
    path = next(project.results.glob("chunk-*"))
    before, after = path.read_text().split("utilities", 1)
    path.write_text(f"{before}utilities{after.translate(str.maketrans('12', '21'))}")


def alter_a_value(project: Project) -> None:
    path = project.valuation / "values.csv"
    path.write_text(path.read_text().replace("0", "1", 1))


def remove_an_output(project: Project) -> None:
    (project.valuation / "utilities.parquet").unlink()


def leave_a_half_written_file(project: Project) -> None:
    (project.model / ".checkpoint.safetensors.0123abcd").touch()


@pytest.mark.process
@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (remove_a_result, "lost: result chunk-"),
        (alter_a_result, "lost: result chunk-"),
        (alter_a_value, "differs: values.csv"),
        (remove_an_output, "published but not whole: utilities.parquet"),
        (leave_a_half_written_file, "left: data/model/.checkpoint.safetensors.0123abcd"),
    ],
)
def test_what_is_lost_altered_or_left_is_noticed(trial, damage, problem):
    trial.examine(began=NOTHING_SINCE)
    assert (trial.problems, trial.equal) == ([], True)
    damage(trial.project)
    trial.examine(began=NOTHING_SINCE)
    assert any(found.startswith(problem) for found in trial.problems)


@pytest.mark.process
def test_chunks_that_were_computed_again_and_locks_that_are_held_are_noticed(trial):
    trial.kept.pop(next(name for name in trial.kept if name.startswith("chunk-")))
    trial.examine(began=0)
    assert trial.beyond == 5  # the last run computed six, of which one was missing
    with (trial.project.root / ".unshapley" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        trial.examine(began=0)
    assert trial.problems[-2:] == ["lock held: lock", "6 chunks computed, 1 were missing"]


def test_a_record_is_read_again_and_a_torn_line_is_not(tmp_path):
    record, line = tmp_path / "record.jsonl", Line("disk full", 3, 0, "abc", hit=True, resumed=True)
    append(record, line)
    record.write_bytes(record.read_bytes() + b'{"fault": "disk')
    assert read(record)[0].fault == "disk full"
    assert len(read(record)) == 1

    assert "not run: there is no C compiler" in table(
        [line, Line("clock", 0, 0, "", skipped="there is no C compiler")]
    )


def test_a_clock_is_set_back_while_a_process_works_and_its_monotonic_clock_is_not(tmp_path):
    try:
        clock = Clock(tmp_path)
    except NotHereError as error:
        pytest.skip(str(error))
    code = """
import sys, threading, time, multiprocessing
def told(): print(time.time(), time.monotonic(), flush=True)
told(); input(); told()
time.sleep(0.01)
assert not threading.Event().wait(0.01)
begin = time.monotonic()
semaphore = multiprocessing.Semaphore(0)
assert not semaphore.acquire(timeout=0.1)
assert 0.1 <= time.monotonic() - begin < 60
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, **clock.env}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    before = [float(word) for word in process.stdout.readline().split()]
    clock.set_by(-3600)
    after = [float(word) for word in process.communicate("\n", timeout=60)[0].split()]
    assert process.returncode == 0
    assert -3600 <= after[0] - before[0] < -3540
    assert 0 <= after[1] - before[1] < 60


def test_a_damaged_result_is_another_one():
    content = bytes(range(200))
    assert all(damaged(content, random.Random(seed)) != content for seed in range(50))
