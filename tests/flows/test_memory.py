"""The memory that a run states is what its process had, seen from outside."""

import json
import re
import subprocess
import sys
import time

import psutil
import pytest

from flows.runtime.memory import worker_peaks_mb
from flows.valuation import valuation
from tests.conftest import USER, set_params
from tests.flows.test_valuation import run_of


def test_the_peak_of_a_run_is_that_of_its_process(project):
    code = "from flows.cli import main; main()"
    command = [sys.executable, "-c", code, "run", "--quiet", "-p", str(project.root)]
    seen = 0.0
    with (project.root / "log").open("w") as log:
        run = subprocess.Popen(command, env=USER, stderr=log)
        process = psutil.Process(run.pid)
        while run.poll() is None:
            try:
                seen = max(seen, process.memory_info().rss / 2**20)
            except psutil.Error:
                break
            time.sleep(0.005)
        assert run.wait() == 0
    memory = run_of(project)["memory_mb"]
    assert memory["workers"] == []
    assert 0.9 * seen < memory["peak"] < 1.1 * seen
    assert memory["before_measuring"] + 2 * memory["estimated_chunk"] == (
        pytest.approx(memory["estimated"], abs=0.2)
    )
    assert memory["before_measuring"] < memory["peak"] < 1.5 * memory["estimated"]
    told = re.search(
        r"memory: peak of this process (\d+) MiB; (\d+) MiB were estimated where it measures "
        r"\(([\d.]+) of the estimate\)",
        (project.root / "log").read_text(),
    )
    assert float(told[1]) == pytest.approx(memory["peak"], abs=1)
    assert float(told[3]) == pytest.approx(memory["peak"] / memory["estimated"], abs=0.01)


def test_workers_are_ours_too(project, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "")
    assert worker_peaks_mb() == []
    set_params(project, run__runner="processes", run__workers=1)
    valuation(project=project.root)
    memory = json.loads((project.valuation / "run.json").read_text())["memory_mb"]
    (peak,) = memory["workers"]
    assert peak > 100  # torch alone takes that
