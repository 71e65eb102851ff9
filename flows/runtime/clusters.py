"""Clusters that carry out the work of tasks: what Dask and Ray have in common here."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from flows.runtime.cluster_errors import EXAMPLES, no_answer
from tasks.engine import Engine
from unshapley.config import CLUSTERS, RunSettings
from unshapley.errors import InputError

PORTS = {"dask": 8786, "ray": 10001}


class ClusterEngine(Engine, Protocol):
    """An engine on workers that come and go.

    most: the largest number of workers that it may come to have, where that is known.
    """

    most: int

    def count(self) -> int:
        """How many functions its present workers carry out at a time."""


@contextmanager
def opened_cluster(run: RunSettings, device: str) -> Iterator[ClusterEngine]:
    """The cluster that section `run` names or describes; raises `InputError` where it is not there,
    and `UnshapleyError` where it has no workers.
    """
    check_cluster(run)
    if run.runner == "dask":
        from flows.runtime.dask_cluster import opened_dask

        with opened_dask(run, device) as dask:
            yield dask
    else:
        _send_token_to_ray()
        from flows.runtime.ray_cluster import opened_ray

        with opened_ray(run, device) as ray:
            yield ray


def check_cluster(run: RunSettings) -> None:
    """Raise `InputError` where the runner is not installed, or nothing listens at its address."""
    if run.runner not in CLUSTERS:
        return
    if importlib.util.find_spec(f"prefect_{run.runner}") is None:
        raise InputError(
            f"prefect-{run.runner} is not installed",
            where="run.runner",
            do=f"pip install 'unshapley[{run.runner}]', here and on the workers",
        )
    if run.address:
        _check_address(run.address, run.runner)


def _check_address(address: str, runner: str) -> None:
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port or PORTS[runner]
    except ValueError:
        host, port = None, 0
    if not host:
        raise InputError(
            f"{address!r} is no address", where="run.address", expected=EXAMPLES[runner]
        )
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError as error:
        raise no_answer(address, runner, error) from None


def _send_token_to_ray() -> None:
    """Clusters of Ray ask for a token since 2.60, which the client of ray:// sends only where this
    variable says so when ray is imported.
    """
    named = any(map(os.environ.get, ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")))
    if named or (Path.home() / ".ray" / "auth_token").is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
