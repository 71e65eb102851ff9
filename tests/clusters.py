"""Clusters for drills, of processes as a user starts them, and a machine that sees little of ours."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.conftest import USER

HOME = Path(__file__).resolve().parents[1]
ENV = {**USER, "PYTHONPATH": str(HOME), "PATH": f"{Path(sys.executable).parent}:{USER['PATH']}", "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "DASK_DISTRIBUTED__DASHBOARD__LINK": ""}  # fmt: skip
DASK = [sys.executable, "-m", "dask"]


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(command: list[str], log: Path, **environment: str) -> Iterator[subprocess.Popen]:
    """A process that ends with the block."""
    with log.open("w") as out:
        process = subprocess.Popen(command, env={**ENV, **environment}, stdout=out, stderr=out, cwd=log.parent)  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)


@contextmanager
def scheduler(folder: Path, host: str = "127.0.0.1") -> Iterator[tuple[str, subprocess.Popen]]:
    """The address of a Dask scheduler, and its process."""
    port = free_port(host)
    command = [*DASK, "scheduler", "--host", host, "--port", str(port), "--no-dashboard"]
    with started(command, folder / "scheduler.log") as process:
        until = time.monotonic() + 300
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection((host, port), timeout=1):
                yield f"tcp://{host}:{port}", process
                return
            time.sleep(0.1)
        raise AssertionError((folder / "scheduler.log").read_text())


def worker(address: str, host: str, folder: Path) -> list[str]:
    """The command of a Dask worker that is not started again when it dies."""
    options = [
        "--host",
        host,
        "--nthreads",
        "1",
        "--no-nanny",
        "--no-dashboard",
        "--memory-limit",
        "0",
    ]
    return [*DASK, "worker", address, *options, "--local-directory", str(folder)]


@contextmanager
def machine(hidden: Path) -> Iterator[tuple[list[str], str, str]]:
    """A network of its own that reaches this machine by one cable, and sees no file in `hidden`.

    Gives the words before a command that runs there, the address of this machine, and its own.
    """
    if os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("unshare")):
        pytest.skip("network namespaces need root, ip and unshare")
    name, number = f"u{uuid.uuid4().hex[:8]}", os.getpid() % 250
    here, there = f"10.213.{number}.1", f"10.213.{number}.2"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        pytest.skip("network namespaces cannot be made here")
    try:
        for words in (
            f"link add {name}a type veth peer name {name}b netns {name}",
            f"addr add {here}/24 dev {name}a",
            f"link set {name}a up",
            f"-n {name} addr add {there}/24 dev {name}b",
            f"-n {name} link set {name}b up",
            f"-n {name} link set lo up",
        ):
            subprocess.run(["ip", *words.split()], check=True)
        hide = f'mount -t tmpfs none "{hidden}" && exec "$@"'
        yield ["ip", "netns", "exec", name, "unshare", "-m", "sh", "-c", hide, "sh"], here, there
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)  # and the cable with it
