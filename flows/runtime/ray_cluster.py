"""A Ray cluster, started or joined by prefect-ray, that carries out the work of tasks."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

# read when ray is imported; it would have its workers work when nobody else on the machine does
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")

import grpc
import ray
from prefect_ray import RayTaskRunner
from ray.exceptions import (
    GetTimeoutError,
    NodeDiedError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from flows.runtime.cluster_errors import (
    BETWEEN_LOOKS,
    PATIENCE,
    TO_CONNECT,
    first_refusal,
    killed,
    lost,
    no_answer,
    no_workers,
)
from tasks.worker import on_cluster
from unshapley.config import RunSettings
from unshapley.errors import InputError

T = TypeVar("T")
STORE = 128 * 2**20
"""Bytes of shared memory of a cluster of our own: chunks and results are small."""


@contextmanager
def opened_ray(run: RunSettings, device: str) -> Iterator[RayEngine]:
    """Raises `InputError` where none answers at `run.address`, or it cannot be started."""
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    own = {
        "num_cpus": run.workers,
        "include_dashboard": False,
        "object_store_memory": STORE,
        "_node_ip_address": "127.0.0.1",
    }
    options = quiet if run.address else {**quiet, **own, **run.cluster}
    if run.address:
        _check_head(run.address)
    runner = RayTaskRunner(address=run.address or "local", init_kwargs=options)
    try:
        runner.__enter__()
    except (RayError, OSError, RuntimeError, ValueError, TypeError) as error:
        if run.address:
            raise no_answer(run.address, "ray", error) from None
        raise InputError(
            f"no Ray cluster can be started: {error}",
            where="run.cluster",
            expected="keyword arguments of ray.init",
        ) from None
    try:
        engine = RayEngine(run.address or "this machine", device)
        engine.check_device()
        yield engine
    finally:
        runner.__exit__(None, None, None)


def _check_head(address: str) -> None:
    """Raise `InputError` unless a server like Ray's is there, for which it would wait minutes."""
    channel = grpc.insecure_channel(address.partition("://")[2] or address)
    try:
        grpc.channel_ready_future(channel).result(timeout=TO_CONNECT)
    except grpc.FutureTimeoutError:
        raise no_answer(address, "ray", f"no answer within {TO_CONNECT} s") from None
    finally:
        channel.close()


class RayEngine:
    """An `Engine` on the nodes of a Ray cluster, which hands what a dead worker did to others."""

    most = 0

    def __init__(self, address: str, device: str) -> None:
        self._address = address
        self._gpus = 1 if device == "cuda" else 0
        self._remote = ray.remote(num_cpus=1, num_gpus=self._gpus)(on_cluster)

    def count(self) -> int:
        return int(ray.cluster_resources().get("GPU" if self._gpus else "CPU", 0))

    def check_device(self) -> None:
        """Raise `InputError` where work waits for GPUs that no node has."""
        if self._gpus and not self.count():
            raise InputError(
                f"no node at {self._address} has a GPU",
                where="valuation.device",
                do="start nodes with --num-gpus, or set it to cpu",
            )

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        reference = self._remote.remote(function, *arguments)
        alone = 0.0
        try:
            while not ray.wait([reference], timeout=BETWEEN_LOOKS)[0]:
                alone = 0.0 if self.count() else alone + BETWEEN_LOOKS
                if alone >= PATIENCE:
                    raise no_workers(self._address)
            result: T = ray.get(reference)
            return result
        except RayTaskError as error:
            raise error.cause from None
        except (WorkerCrashedError, OutOfMemoryError, NodeDiedError) as error:
            raise killed(str(error).splitlines()[0]) from None
        except (RayError, ConnectionError) as error:
            raise lost(self._address, error) from None

    def everywhere(self, function: Callable[..., object], *arguments: Any) -> None:
        there = {}
        for node in ray.nodes():
            if node["Alive"]:
                on_it = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                name = f"{node['NodeManagerAddress']}, node {node['NodeID'][:8]}"
                placed = self._remote.options(scheduling_strategy=on_it)
                there[name] = placed.remote(function, *arguments)
        first_refusal((name, _error(reference)) for name, reference in there.items())


def _error(reference: Any) -> BaseException | None:
    problem: BaseException | None = None
    try:
        ray.get(reference, timeout=10 * PATIENCE)
    except RayTaskError as error:
        problem = error.cause
    except (RayError, GetTimeoutError) as error:
        problem = error
    return problem
