"""Embedded Prefect servers that outlived a killed run are ended by the next one."""

from __future__ import annotations

import contextlib
import os

import psutil

OWNER = "UNSHAPLEY_OWNER"
"""Environment variable that tells a server which process started it."""

_SERVER = "prefect.server.api.server:create_app"


def own() -> None:
    """Mark what this process starts as its own."""
    me = psutil.Process()
    os.environ[OWNER] = f"{me.pid}@{me.create_time()}"


def reap_servers() -> int:
    """End embedded servers whose owner is gone; give their number."""
    reaped = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if _SERVER in process.cmdline() and _is_orphan(process.environ().get(OWNER, "")):
                process.terminate()
                reaped += 1
    return reaped


def _is_orphan(owner: str) -> bool:
    pid, _, created = owner.partition("@")
    if not created:
        return False
    try:
        return str(psutil.Process(int(pid)).create_time()) != created
    except psutil.NoSuchProcess:
        return True
