"""Runs on clusters that lose workers, and whose workers see nothing of the project."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.acceptance.test_kill import command, finished
from tests.clusters import ENV, free_port, machine, scheduler, started, worker
from tests.conftest import USER, made_once, set_params
from tests.flows.test_valuation import chunks_of, outputs
from unshapley.project import Project

pytestmark = pytest.mark.drill

CHUNKS = 30
DVC = [sys.executable, "-m", "dvc"]
INPUTS = ("partitions", "test.parquet", "reference.parquet", "schema.json", "model", "curvature")


@pytest.fixture(scope="module")
def expected(built, tmp_path_factory):
    """A project whose chunks take a while, and what threads give for it."""

    def make(root: Path) -> None:
        project = Project(Path(shutil.copytree(built.root, root)))
        slow = {"valuation__chunk_size": 1, "valuation__options": {"steps": 300}}
        set_params(project, **slow, run__retries=2)
        subprocess.run(command(project), check=True, capture_output=True, env=USER)
        assert chunks_of(project)["computed"] == CHUNKS

    return Project(made_once(tmp_path_factory, "slow", make))


@pytest.fixture
def project(expected, tmp_path):
    """A copy that nothing is measured of."""
    copy = Project(Path(shutil.copytree(expected.root, tmp_path / "project")))
    shutil.rmtree(copy.results)
    shutil.rmtree(copy.valuation)
    return copy


def begun(project: Project, stack: ExitStack, chunks: int = 3) -> subprocess.Popen:
    """A run of which some chunks are finished."""
    log = project.root.parent / "run.log"
    run = stack.enter_context(started(command(project), log))
    while len(finished(project)) < chunks:
        assert run.poll() is None, log.read_text()
        time.sleep(0.02)
    return run


def ended(project: Project, run: subprocess.Popen, code: int = 0) -> str:
    rc, log = run.wait(timeout=600), (project.root.parent / "run.log").read_text()
    assert rc == code, log
    return log


def push(project: Project, remote: Path) -> None:
    for words in (
        ["init", "-q", "--no-scm"],
        ["remote", "add", "-q", "-d", "near", str(remote)],
        ["add", "-q", *(f"data/{name}" for name in INPUTS)],
        ["push", "-q"],
    ):
        subprocess.run([*DVC, *words], cwd=project.root, env=ENV, check=True)


def test_dask_with_a_worker_in_a_network_of_its_own_though_the_other_is_killed(
    project, expected, tmp_path
):
    remote, cache = tmp_path / "remote", tmp_path / "cache"
    remote.mkdir()
    push(project, remote)
    with ExitStack() as stack:
        elsewhere, here, there = stack.enter_context(machine(project.root))
        address, _ = stack.enter_context(scheduler(tmp_path, here))
        near = stack.enter_context(started(worker(address, here, tmp_path / "a"), tmp_path / "a.log"))  # fmt: skip
        far = [*elsewhere, *worker(address, there, tmp_path / "b")]
        stack.enter_context(started(far, tmp_path / "b.log", UNSHAPLEY_CACHE=str(cache)))
        time.sleep(5)  # both have joined
        set_params(project, run__runner="dask", run__address=address)
        run = begun(project, stack)
        near.kill()
        ended(project, run)
    assert chunks_of(project) == {"computed": CHUNKS, "resumed": 0}
    assert outputs(project) == outputs(expected)
    assert len(list(cache.glob("objects/*/*"))) > 10, "the far worker fetched its inputs"


def test_inputs_that_were_not_pushed_are_one_error(project, tmp_path):
    remote = tmp_path / "remote"
    push(project, remote)
    shutil.rmtree(remote / "files")
    with ExitStack() as stack:
        elsewhere, here, there = stack.enter_context(machine(project.root))
        address, _ = stack.enter_context(scheduler(tmp_path, here))
        far = [*elsewhere, *worker(address, there, tmp_path / "b")]
        stack.enter_context(started(far, tmp_path / "b.log", UNSHAPLEY_CACHE=str(tmp_path / "c")))
        set_params(project, run__runner="dask", run__address=address)
        run = stack.enter_context(started(command(project), tmp_path / "run.log"))
        log = ended(project, run, code=2)
    assert f"error: data/schema.json: worker tcp://{there}" in log
    assert f"neither in the project's folder here nor in DVC's remote {remote}" in log
    assert "do: run `dvc push` in the project" in log
    assert "Traceback" not in log
    assert not finished(project)


def test_dask_starts_a_worker_again_that_was_killed(project, expected):
    set_params(project, run__runner="dask")
    with ExitStack() as stack:
        run = begun(project, stack)
        measuring(run, "multiprocessing.spawn").kill()
        ended(project, run)
    assert chunks_of(project) == {"computed": CHUNKS, "resumed": 0}
    assert outputs(project) == outputs(expected)


def test_a_scheduler_that_is_lost_ends_the_run_and_the_next_goes_on(project, expected, tmp_path):
    with ExitStack() as stack:
        address, process = stack.enter_context(scheduler(tmp_path))
        stack.enter_context(started(worker(address, "127.0.0.1", tmp_path / "a"), tmp_path / "a.log"))  # fmt: skip
        set_params(project, run__runner="dask", run__address=address)
        run = begun(project, stack)
        process.kill()
        log = ended(project, run, code=1)
    assert f"error: the cluster at {address} was lost" in log
    assert "Traceback" not in log
    before = len(finished(project))
    set_params(project, run__runner="threads", run__address=None)
    subprocess.run(command(project), check=True, capture_output=True, env=USER)
    assert chunks_of(project) == {"computed": CHUNKS - before, "resumed": before}
    assert outputs(project) == outputs(expected)


def test_ray_whose_worker_is_killed(project, expected):
    pytest.importorskip("prefect_ray", reason="needs unshapley[ray]")
    set_params(project, run__runner="ray")
    with ExitStack() as stack:
        run = begun(project, stack)
        measuring(run, "ray::").kill()
        ended(project, run)
    assert chunks_of(project) == {"computed": CHUNKS, "resumed": 0}
    assert outputs(project) == outputs(expected)


def test_ray_at_an_address(project, expected, tmp_path):
    pytest.importorskip("prefect_ray", reason="needs unshapley[ray]")
    port, client = free_port(), free_port()
    head = ["ray", "start", "--head", "--block", "--node-ip-address=127.0.0.1", "--num-cpus=2", f"--port={port}", f"--ray-client-server-port={client}", "--include-dashboard=false", "--object-store-memory=100000000", f"--temp-dir=/tmp/u{os.getpid()}"]  # fmt: skip
    with started(head, tmp_path / "ray.log"):
        until = time.monotonic() + 300
        while "Ray runtime started" not in (tmp_path / "ray.log").read_text():
            assert time.monotonic() < until, (tmp_path / "ray.log").read_text()
            time.sleep(0.2)
        set_params(project, run__runner="ray", run__address=f"ray://127.0.0.1:{client}")
        subprocess.run(command(project), check=True, env=ENV)
    assert chunks_of(project) == {"computed": CHUNKS, "resumed": 0}
    assert outputs(project) == outputs(expected)


@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_no_process_of_a_cluster_outlives_a_killed_run(project, expected, runner):
    pytest.importorskip(f"prefect_{runner}", reason=f"needs unshapley[{runner}]")
    set_params(project, run__runner=runner)
    with ExitStack() as stack:
        run = begun(project, stack)
        others = psutil.Process(run.pid).children(recursive=True)
        os.kill(run.pid, signal.SIGKILL)
        run.wait(timeout=60)
    assert len(others) >= 3
    _, alive = psutil.wait_procs(others, timeout=60)
    assert [" ".join(p.cmdline()) for p in alive] == []
    before = len(finished(project))
    subprocess.run(command(project), check=True, capture_output=True, env=USER)
    assert chunks_of(project) == {"computed": CHUNKS - before, "resumed": before}
    assert outputs(project) == outputs(expected)


def measuring(run: subprocess.Popen, name: str) -> psutil.Process:
    """The process of a cluster that has worked most."""
    children = psutil.Process(run.pid).children(recursive=True)
    workers = [p for p in children if name in " ".join(p.cmdline())]
    return max(workers, key=lambda p: sum(p.cpu_times()[:2]))
