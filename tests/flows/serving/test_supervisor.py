"""Processes that belong together: restarted a few times, then ended with one error, none left."""

import sys
import time

import psutil
import pytest

from flows.serving import supervisor
from flows.serving.supervisor import Part, Supervisor
from unshapley.errors import UnshapleyError

SLEEPER = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True); print('up', flush=True); time.sleep(60)"


def children():
    """Of this process, which may have a server of its own for other tests."""
    return set(psutil.Process().children(recursive=True))


def part(name, code, ready=None):
    return Part(name, [sys.executable, "-c", code], {}, ready)


def test_what_ends_is_restarted_and_then_the_whole_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "BETWEEN_LOOKS", 0.05)
    monkeypatch.setattr(supervisor, "RESTARTS", 1)
    told, before = [], children()
    with (
        pytest.raises(
            UnshapleyError, match="bad ended with code 3, 2 times within 10 minutes"
        ) as caught,
        Supervisor(tmp_path, told.append) as whole,
    ):
        whole.start(part("good", SLEEPER))
        whole.start(part("bad", "print('why it ends'); raise SystemExit(3)"))
        whole.watch(lambda: None)
    assert "| why it ends" in str(caught.value)
    assert len(told) == 1
    assert children() == before


def test_grandchildren_end_too(tmp_path):
    before = children()
    with Supervisor(tmp_path, print) as whole:
        running = part("good", SLEEPER, lambda: "up" in (tmp_path / "good.log").read_text())
        whole.start(running)
        whole.wait(running, 30)
        assert len(children() - before) == 2
    assert children() == before


def test_what_does_not_get_ready_is_said(tmp_path):
    with Supervisor(tmp_path, print) as whole:
        late = part("late", "import time; time.sleep(60)", lambda: False)
        whole.start(late)
        begin = time.monotonic()
        with pytest.raises(UnshapleyError, match="late did not answer within 1 s"):
            whole.wait(late, 1)
        assert time.monotonic() > begin
