"""A run that is told to stop, or loses its server, ends in time (test_kill: how it goes on)."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from flows.runtime.stopping import GRACE
from tests.acceptance.test_kill import command, finished, server_of
from tests.conftest import USER, set_params
from unshapley.project import Project


@pytest.mark.parametrize(
    ("stop", "code", "says"),
    [
        pytest.param(
            lambda run: os.kill(run.pid, signal.SIGTERM),
            143,
            "stopped by SIGTERM; the same command",
            id="TERM",
            marks=pytest.mark.drill,
        ),
        pytest.param(
            lambda run: os.killpg(run.pid, signal.SIGINT),
            130,
            "stopped by SIGINT; the same command",
            id="INT",
            marks=pytest.mark.drill,
        ),
        pytest.param(
            lambda run: server_of(run).kill(),
            1,
            "Prefect's server for this run ended",
            id="server killed",
            marks=pytest.mark.drill,
        ),
    ],
)
def test_a_run_ends_in_time_and_leaves_no_process(project: Project, stop, code, says):
    # a chunk a coalition, and hundreds of them wait
    settings = {"chunk_size": 1, "options": {"steps": 400}}
    set_params(project, **{f"valuation__{k}": v for k, v in settings.items()})
    run = subprocess.Popen(
        command(project), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=USER,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        while len(finished(project)) < 3:
            assert run.poll() is None, run.stderr.read()
            time.sleep(0.02)
        family = psutil.Process(run.pid).children(recursive=True)
        begin = time.monotonic()
        stop(run)
        _, printed = run.communicate(timeout=60)
    finally:
        run.kill()
    assert time.monotonic() - begin < GRACE + 5
    assert run.returncode == code
    assert printed.count(says) == 1
    assert "Traceback" not in printed
    assert psutil.wait_procs(family, timeout=5)[1] == []


def test_a_command_that_gets_no_memory_ends_in_time_instead_of_waiting_for_ever():
    script = """
import resource, threading, psutil
from flows.cli.common import reported
from flows.runtime import stopping
stopping.STARVING = stopping.BETWEEN_LOOKS = 0.2

@reported
def command():
    limit = psutil.Process().memory_info().vms + 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    threading.Event().wait()  # as a library does for a thread that could not be started

command()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, env=USER
    )
    assert done.returncode == 1
    assert done.stderr == (
        "error: the machine is out of memory; the same command goes on where this one stopped\n"
    )
