"""A GPU is booked once: by a global concurrency limit of Prefect's server that names the device."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
)
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectNotFound

from flows.runtime.reaping import add_tag, running
from unshapley.config import CLUSTERS, Params

log = logging.getLogger("unshapley.run")

LEASE = 60
"""Seconds after which the server frees a device whose holder was killed; a holder renews it."""


@contextmanager
def booked_device(params: Params) -> Iterator[None]:
    """Hold the GPU that a run on threads or processes computes on, against other runs that the same
    server knows. On a processor, and on clusters, which book GPUs themselves, nothing is held.
    """
    if params.valuation.device != "cuda" or params.run.runner in CLUSTERS:
        yield
        return
    with booked(device_name()):
        yield


def device_name() -> str:
    """The GPU of this process, by a name that is the same in every container."""
    import torch

    return f"cuda {torch.cuda.get_device_properties(0).uuid}"


@contextmanager
def booked(device: str) -> Iterator[None]:
    """Hold a device within a flow run; waits as long as another one holds it."""
    with get_client(sync_client=True) as client:
        try:
            limit = client.read_global_concurrency_limit_by_name(device)
        except ObjectNotFound:
            create = GlobalConcurrencyLimitCreate(name=device, limit=1)
            client.create_global_concurrency_limit(create)
        else:
            if limit.active_slots and not running(client, _tag(device)):
                # a server that was started again has forgotten whose it was
                free = GlobalConcurrencyLimitUpdate(active_slots=0)
                client.update_global_concurrency_limit(device, free)
            elif limit.active_slots:
                log.info("waiting for %s, on which another run computes", device)
        add_tag(client, _tag(device))
    with concurrency(device, occupy=1, strict=True, lease_duration=LEASE):
        yield


def _tag(device: str) -> str:
    return f"unshapley:{device}"
