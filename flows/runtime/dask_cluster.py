"""A Dask cluster, started or joined by prefect-dask, that carries out the work of tasks."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import dask
import distributed
from distributed.scheduler import KilledWorker
from prefect_dask import DaskTaskRunner

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
FIRST = 100
"""Priority of what asks a worker: before the chunks of other runs."""
KEEP_MEMORY = {
    f"distributed.nanny.pre-spawn-environ.MALLOC_{name}_THRESHOLD_": size
    for name, size in (("MMAP", 32 * 2**20), ("TRIM", 2**30))
}
"""For the workers of a cluster that is started here. Dask makes them hand memory back to the system
with every freed block, and a chunk's tensors took it anew each time: twice the processor's time."""


@contextmanager
def opened_dask(run: RunSettings, device: str) -> Iterator[DaskEngine]:
    """Raises `InputError` where none answers at `run.address`, or it cannot be started."""
    for name in ("distributed", "distributed.worker", "distributed.nanny", "distributed.scheduler"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # a lost worker is no news to a user
    if run.address:
        _check_scheduler(run.address)
    address = run.address or "this machine"
    with dask.config.set(KEEP_MEMORY), _runner(run) as runner:
        client = runner.client
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise no_workers(address) from None
        engine = DaskEngine(client, address, device, run.cluster)
        engine.check_device()
        yield engine


def _check_scheduler(address: str) -> None:
    """Raise `InputError` unless a scheduler is there: a client would wait for the answer of another
    server for ever.
    """

    async def kind() -> str:
        async with distributed.rpc(address) as there:
            return str((await there.identity())["type"])

    try:
        found = asyncio.run(asyncio.wait_for(kind(), TO_CONNECT))
    except (OSError, TimeoutError, ValueError) as error:  # ValueError: of another protocol
        raise no_answer(address, "dask", error) from None
    if found != "Scheduler":
        raise no_answer(address, "dask", f"it is a {found.lower()}, no scheduler")


def _runner(run: RunSettings) -> DaskTaskRunner:
    connecting = {"timeout": TO_CONNECT}
    if run.address:
        return DaskTaskRunner(address=run.address, client_kwargs=connecting)
    if run.cluster:
        try:
            return DaskTaskRunner(**run.cluster, client_kwargs=connecting)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise InputError(
                f"no Dask cluster can be made of it: {error}",
                where="run.cluster",
                expected="cluster_class, cluster_kwargs and adapt_kwargs of DaskTaskRunner",
            ) from None
    own = {
        "n_workers": run.workers,
        "threads_per_worker": 1,
        "processes": True,
        "host": "127.0.0.1",
        "dashboard_address": None,
        "memory_limit": 0,  # how much a chunk may take is said by valuation.memory_mb
        "silence_logs": logging.CRITICAL,
    }
    return DaskTaskRunner(cluster_kwargs=own, client_kwargs=connecting)


class DaskEngine:
    """An `Engine` on the workers of a Dask scheduler, which hands what a dead one did to others."""

    def __init__(
        self, client: distributed.Client, address: str, device: str, spec: dict[str, Any]
    ) -> None:
        self._client, self._address = client, address
        self._resources = {"GPU": 1} if device == "cuda" else None
        adapt = spec.get("adapt_kwargs", {})
        self.most = int(adapt.get("maximum", 64)) if adapt else 0

    def count(self) -> int:
        return sum(self._client.nthreads().values())

    def check_device(self) -> None:
        """Raise `InputError` where work waits for GPUs that no worker has."""
        if self._resources is None:
            return
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        if not any(worker["resources"].get("GPU") for worker in workers):
            raise InputError(
                f"no worker at {self._address} has a GPU",
                where="valuation.device",
                expected="workers that name theirs, so that each is booked once",
                do="start one a GPU: CUDA_VISIBLE_DEVICES=0 dask worker … --nthreads 1 "
                '--resources "GPU=1"',
            )

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        future = self._submit(function, *arguments)
        try:
            error = self._outcome(future)
            if isinstance(error, KilledWorker):
                raise killed(error.last_worker.address)
            if future.status == "cancelled":
                raise lost(self._address, error or "its scheduler is gone")
            if error is not None:
                raise error
            result: T = future.result()
            return result
        finally:
            future.release()

    def _outcome(self, future: distributed.Future) -> Exception | None:
        """What the function raised, when it has ended; raises where no worker is left."""
        alone = 0.0
        while True:
            try:
                error: Exception | None = future.exception(timeout=BETWEEN_LOOKS)
            except TimeoutError:
                alone = 0.0 if self._client.nthreads() else alone + BETWEEN_LOOKS
                if alone >= PATIENCE:
                    raise no_workers(self._address) from None
            else:
                return error

    def everywhere(self, function: Callable[..., object], *arguments: Any) -> None:
        futures = {
            worker: self._submit(function, *arguments, workers=[worker], priority=FIRST)
            for worker in self._client.nthreads()
        }
        first_refusal((worker, future.exception()) for worker, future in futures.items())

    def _submit(self, function: Callable[..., object], *arguments: Any, **how: Any) -> Any:
        key = f"{function.__name__}-{uuid.uuid4().hex}"  # Dask would take equal calls for one
        if not how:
            how = {"resources": self._resources}
        return self._client.submit(on_cluster, function, *arguments, key=key, pure=False, **how)
