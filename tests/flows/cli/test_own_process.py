"""A run in a process of its own: the settings that it restarts itself with, the memory it takes."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from flows.preflight import preflight
from tests.conftest import USER, set_params
from tests.flows.test_valuation import run_of
from unshapley import environment
from unshapley.config import ValuationSettings, load_params
from unshapley.environment import PORTABLE
from unshapley.errors import InputError
from unshapley.project import Project

HOME = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-P", "-c", "from flows.cli import main; main()"]


@pytest.fixture(scope="module")
def run(built, tmp_path_factory):
    """A project valued by a command that restarts itself with the settings of `portable`; the
    largest resident memory seen, in MiB, and what it told.
    """
    project = Project(shutil.copytree(built.root, tmp_path_factory.mktemp("own") / "project"))
    set_params(project, valuation__numerics="portable")
    log = project.root / "log"
    with log.open("w") as stderr:
        started = subprocess.Popen(
            [*COMMAND, "run", "--quiet", "--project", project.root],
            env={**USER, "ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2"},
            stderr=stderr,
        )
    process, seen = psutil.Process(started.pid), 0.0
    while started.poll() is None:
        with suppress(psutil.Error):  # it ends meanwhile
            seen = max(seen, process.memory_info().rss / 2**20)
        time.sleep(0.005)
    assert started.returncode == 0, log.read_text()
    return project, seen, log.read_text()


def test_a_command_restarts_itself_whatever_kernels_the_user_has_set(run):
    project, _, _ = run
    numerics = json.loads((project.valuation / "manifest.json").read_text())["numerics"]
    assert (numerics["processor"], numerics["vector"]) == ("x86-64", "portable")


def test_the_peak_of_a_run_is_that_of_its_process(run):
    project, seen, told = run
    memory = run_of(project)["memory_mb"]
    assert memory["workers"] == []
    assert 0.9 * seen < memory["peak"] < 1.1 * seen
    assert memory["before_measuring"] + 2 * memory["estimated_chunk"] == (
        pytest.approx(memory["estimated"], abs=0.2)
    )
    assert memory["before_measuring"] < memory["peak"] < 1.5 * memory["estimated"]
    line = re.search(
        r"memory: peak of this process (\d+) MiB; (\d+) MiB were estimated where it measures "
        r"\(([\d.]+) of the estimate\)",
        told,
    )
    assert float(line[1]) == pytest.approx(memory["peak"], abs=1)
    assert float(line[3]) == pytest.approx(memory["peak"] / memory["estimated"], abs=0.01)


@pytest.mark.drill
@pytest.mark.parametrize("processor", ["Nehalem", "Haswell", "EPYC"])
def test_other_processors_give_the_same_bits(processor):
    """Emulated ones: without AVX, with AVX2, of another maker."""
    if shutil.which("qemu-x86_64") is None:
        pytest.skip("qemu-x86_64 (Debian's qemu-user) is not installed")
    # what this processor has been told to use beside gives other bits, so that this can fail
    native, here, there = (
        digests(*command, **kernels)
        for command, kernels in (
            ((), {"ATEN_CPU_CAPABILITY": "default"}),
            ((), PORTABLE),
            (("qemu-x86_64", "-cpu", processor), PORTABLE),
        )
    )
    assert here == there
    assert all(here[part] != native[part] for part in here if part != "rows")


def digests(*before: str, **kernels: str) -> dict[str, str]:
    """Digests of numbers of all kinds, from a process under an emulator, or under none."""
    process = subprocess.run(
        [*before, sys.executable, "-m", "tests.portable_bits"],
        cwd=HOME,
        env={**os.environ, **kernels},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    found: dict[str, str] = json.loads(process.stdout.splitlines()[-1])
    return found


def test_a_process_that_is_not_portable_says_so(project, monkeypatch):
    set_params(project, valuation__numerics="portable")
    params = load_params(project.params)
    with pytest.raises(InputError, match="only some processors(.|\n)*MKL_CBWR=COMPATIBLE"):
        preflight(project, params)
    for name, value in PORTABLE.items():
        monkeypatch.setitem(os.environ, name, value)
    preflight(project, params)
    assert environment.processor() == {"processor": "x86-64", "vector": "portable", "kernels": {}}
    monkeypatch.setattr(environment.platform, "machine", lambda: "aarch64")
    with pytest.raises(InputError, match="an x86-64 processor"):
        preflight(project, params)


def test_a_gpu_is_not_portable():
    with pytest.raises(ValueError, match="numerics = portable: device is cuda"):
        ValuationSettings(numerics="portable", device="cuda")
