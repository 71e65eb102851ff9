"""A worker of Prefect's and the flow that it started are killed together, on real servers."""

import json
import shutil
import subprocess
import time
from contextlib import suppress

import psutil
import pytest

from tests.acceptance.test_kill import finished
from tests.clusters import started
from tests.conftest import USER, set_params
from tests.flows.test_valuation import chunks_of, outputs
from tests.prefect_server import PREFECT, serving

pytestmark = pytest.mark.drill
CHUNKS = 30


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_next_run_marks_it_as_crashed_and_goes_on(project, tmp_path, kind):
    slow = {"valuation__chunk_size": 1, "valuation__options": {"steps": 300}}
    set_params(project, **slow)
    with serving(kind, tmp_path / "server") as server:
        server.run(*PREFECT, "work-pool", "create", "pool", "--type", "process")
        where = ["--params", json.dumps({"project": str(project.root)}), "--pool", "pool"]
        one = ["--concurrency-limit", "1", "--collision-strategy", "CANCEL_NEW"]
        server.run(*PREFECT, "--no-prompt", "deploy", "flows/valuation.py:valuation", "-n", "d", *where, *one)  # fmt: skip
        worker = [*PREFECT, "worker", "start", "--pool", "pool"]
        options = {"PREFECT_API_URL": server.url, "PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_HOME": str(tmp_path / "server")}  # fmt: skip
        with started(worker, tmp_path / "worker.log", **options) as process:
            server.run(*PREFECT, "deployment", "run", "valuation/d")
            until = time.monotonic() + 600
            while len(finished(project)) < 3:
                assert time.monotonic() < until, (tmp_path / "worker.log").read_text()
                time.sleep(0.05)
            both = [process, *psutil.Process(process.pid).children(recursive=True)]
            for one in both:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
        (lost,) = server.ask("flow_runs/filter", {})
        assert lost["state"]["name"] == "Running"
        before = len(finished(project))

        subprocess.run(
            ["unshapley", "run", "-q", "-p", project.root], check=True, env=server.environment
        )  # fmt: skip
        assert server.ask(f"flow_runs/{lost['id']}")["state"]["name"] == "Crashed"
        assert chunks_of(project) == {"computed": CHUNKS - before, "resumed": before}
        resumed = outputs(project)

        # the slot that it held of its deployment is free again
        with started(worker, tmp_path / "worker.log", **options):
            server.run(*PREFECT, "deployment", "run", "valuation/d", "--watch")
        assert outputs(project) == resumed
    shutil.rmtree(project.results)
    shutil.rmtree(project.valuation)
    subprocess.run(["unshapley", "run", "-q", "-p", project.root], check=True, env=USER)
    assert outputs(project) == resumed
