"""Memory of this process and of the worker processes that it started."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

import psutil

WORKERS = ("multiprocessing.spawn", "ray::")
"""What the command of a worker process of ours names: of Python and Dask, and of Ray."""


def peak_mb() -> float:
    """Largest resident memory of this process since it began, in MiB."""
    peak = _peak_of("self")
    if peak is not None:
        return peak
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def resident_mb() -> float:
    """Resident memory of this process now, in MiB."""
    return float(psutil.Process().memory_info().rss) / 2**20


def family_mb() -> float:
    """Resident memory of this process and of all that it started, in MiB; shared pages count in
    each.
    """
    total = resident_mb()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            total += process.memory_info().rss / 2**20
    return total


def worker_peaks_mb() -> list[float]:
    """Largest resident memory of each worker process that lives, in MiB, the largest first."""
    peaks = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            command = " ".join(process.cmdline())
            if any(name in command for name in WORKERS):
                peak = _peak_of(str(process.pid))
                peaks.append(process.memory_info().rss / 2**20 if peak is None else peak)
    return sorted(peaks, reverse=True)


def _peak_of(process: str) -> float | None:
    """The kernel's record of a process, in MiB; None where there is none.

    `getrusage` would count what the parent held when this process was started.
    """
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    return None
