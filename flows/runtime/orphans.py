"""Embedded Prefect servers that outlived a killed run are ended by the next one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil

OWNER = "UNSHAPLEY_OWNER"
"""Environment variable that tells a server which process started it."""

_SERVER = "prefect.server.api.server:create_app"


def own() -> None:
    """Mark what this process starts as its own."""
    os.environ[OWNER] = f"{os.getpid()}@{_started(os.getpid())}"


def end_orphaned_servers() -> int:
    """End embedded servers on our Prefect home whose owner has ended; give their number."""
    ended = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it ended meanwhile, or is a zombie
            if _SERVER not in process.cmdline():
                continue
            environment = process.environ()
            ours = environment.get("PREFECT_HOME") == os.environ.get("PREFECT_HOME")
            if ours and _is_orphan(environment.get(OWNER, "")):
                process.terminate()
                ended += 1
    return ended


def _is_orphan(owner: str) -> bool:
    pid, _, started = owner.partition("@")
    return bool(started) and _started(int(pid)) != started


def _started(pid: int) -> str | None:
    """When a process started, in clock ticks since boot: no change of the clock moves it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None
