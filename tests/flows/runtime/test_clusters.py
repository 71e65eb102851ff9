"""Work on clusters. The kills, Ray, a worker that sees nothing of ours: acceptance/test_distribution.py."""

import importlib.util
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from flows.runtime.clusters import check_cluster, opened_cluster
from flows.runtime.runners import opened_workers
from flows.valuation import valuation
from tasks.worker import Likeness, check_likeness, facts
from tests.conftest import set_params
from tests.flows.test_valuation import chunks_of, outputs
from unshapley.config import RunSettings, load_params, parse_params
from unshapley.errors import InputError, UnshapleyError

IN_THIS_PROCESS = {
    "cluster_class": "distributed.LocalCluster",
    "cluster_kwargs": {"processes": False, "n_workers": 2, "dashboard_address": None},
}
"""A Dask cluster whose scheduler and workers are threads: all but what a process costs."""


def test_dask_gives_the_bits_that_threads_give(project, published):
    set_params(project, run__runner="dask", run__cluster=IN_THIS_PROCESS)
    valuation(project=project.root)
    assert chunks_of(project) == {"computed": 6, "resumed": 0}
    assert outputs(project) == outputs(published)
    assert json.loads((project.valuation / "run.json").read_text())["run"]["runner"] == "dask"


def refused(worker: dict, device: str) -> None:
    check_likeness(Likeness(facts={**facts(device), **worker}), device)


@pytest.mark.parametrize("fact", ["torch", "sources", "processor", "numpy", "python"])
def test_a_worker_of_another_kind_is_refused_and_named(fact):
    run = RunSettings(runner="dask", cluster=IN_THIS_PROCESS)
    with (
        opened_cluster(run, "cpu") as engine,
        pytest.raises(InputError, match=r"worker inproc://.*another .*: ") as error,
    ):
        engine.everywhere(refused, {fact: "other"}, "cpu")
    assert "other, as where the run was started" in str(error.value)
    assert "portable" in str(error.value)


def test_what_a_function_raises_arrives_as_it_was(project):
    set_params(project, run__runner="dask", run__cluster=IN_THIS_PROCESS)
    with opened_workers(load_params(project.params)) as workers:
        assert workers.count >= 2
        with pytest.raises(TimeoutError, match="of the function"):
            workers.engine.call(raises, TimeoutError("of the function"))
        with pytest.raises(InputError, match="  do: mend it"):
            workers.engine.call(raises, InputError("wrong", do="mend it"))


def raises(error: Exception) -> None:
    raise error


def test_a_cluster_without_workers_says_so(monkeypatch):
    from flows.runtime import dask_cluster

    monkeypatch.setattr(dask_cluster, "PATIENCE", 0.2)
    nobody = {**IN_THIS_PROCESS["cluster_kwargs"], "n_workers": 0}
    run = RunSettings(runner="dask", cluster={"cluster_kwargs": nobody})
    with pytest.raises(UnshapleyError, match="has had no worker for"):
        opened_cluster(run, "cpu").__enter__()


def test_a_gpu_of_a_cluster_is_booked_once():
    """No GPU is at hand: workers name one, as those that have one do."""
    kwargs = {**IN_THIS_PROCESS["cluster_kwargs"], "n_workers": 1, "threads_per_worker": 2}
    none = RunSettings(runner="dask", cluster={"cluster_kwargs": kwargs})
    with pytest.raises(InputError, match=r"valuation.device: no worker at .* has a GPU"):
        opened_cluster(none, "cuda").__enter__()
    one = RunSettings(runner="dask", cluster={"cluster_kwargs": {**kwargs, "resources": {"GPU": 1}}})  # fmt: skip
    with opened_cluster(one, "cuda") as engine, ThreadPoolExecutor() as threads:
        spells = sorted(threads.map(lambda _: engine.call(spell), range(3)))
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spells))


def spell() -> tuple[float, float]:
    begin = time.monotonic()
    time.sleep(0.05)
    return begin, time.monotonic()


@pytest.mark.parametrize(
    ("runner", "address", "message"),
    [
        (
            "dask",
            "tcp://127.0.0.1:{}",
            r"no Dask cluster answers at tcp://127.0.0.1:\d+: .*refused",
        ),
        ("ray", "ray://127.0.0.1:{}", r"no Ray cluster answers at ray://127.0.0.1:\d+: .*refused"),
        ("dask", "tcp://:x", "'tcp://:x' is no address"),
    ],
)
def test_an_address_that_answers_nothing_is_one_error(runner, address, message, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        place = address.format(unused.getsockname()[1])
        with pytest.raises(InputError, match=message):
            check_cluster(RunSettings(runner=runner, address=place))


def test_a_server_that_is_no_scheduler_is_one_error(monkeypatch):
    from flows.runtime import dask_cluster

    monkeypatch.setattr(dask_cluster, "TO_CONNECT", 0.5)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        run = RunSettings(runner="dask", address=f"tcp://127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(InputError, match="no Dask cluster answers"), opened_cluster(run, "cpu"):
            pass


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'unshapley\[ray\]'"):
        check_cluster(RunSettings(runner="ray"))


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"address": "tcp://a:1"}, "address is of a cluster, and runner is threads"),
        ({"cluster": {"a": 1}, "runner": "processes"}, "cluster is of a cluster"),
        ({"address": "tcp://a:1", "cluster": {"a": 1}, "runner": "dask"}, "set one"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(run, message):
    with pytest.raises(InputError, match=message):
        parse_params({"run": run}, where="params.yaml")


def test_a_cluster_that_cannot_be_made_is_one_error():
    run = RunSettings(runner="dask", cluster={"cluster_class": "no_such.Cluster"})
    with pytest.raises(InputError, match=r"run.cluster: no Dask cluster can be made of it"):
        opened_cluster(run, "cpu").__enter__()
